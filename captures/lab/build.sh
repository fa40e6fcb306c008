#!/bin/bash
# Download Debian's kernels (nothing is installed on the host) and build one initramfs for each, into built/.
#   5.10 bullseye: DLM 3.1      6.1 bookworm: DLM 3.2      6.12 trixie: DLM 3.2, newest
set -eu
export PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname "$0")"
LAB=$PWD
# the archive that apt uses already (the part before /debian)
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | sed -n 's,/debian/*$,,p' | head -1)}
KEY=/usr/share/keyrings/debian-archive-keyring.gpg
APT=built/apt

mkdir -p $APT/lists/partial $APT/cache/archives/partial built/kernels
for suite in bookworm bullseye trixie; do
	echo "deb [signed-by=$KEY] $MIRROR/debian $suite main"
	echo "deb [signed-by=$KEY] $MIRROR/debian-security $suite-security main"
done > $APT/private.list
PRIVATE=(-o "Dir::Etc::sourcelist=$LAB/$APT/private.list" -o Dir::Etc::sourceparts=/dev/null
	-o "Dir::State::lists=$LAB/$APT/lists" -o "Dir::Cache=$LAB/$APT/cache")

newest() { # newest VERSION [SUFFIX]: the newest kernel package of a series
	apt-cache "${PRIVATE[@]}" search "^linux-image-$1[0-9.-]*[0-9]${2:-}-amd64\$" | awk '{print $1}' | sort -V | tail -1
}

fetch() { # fetch SERIES PACKAGE: unpack it under built/kernels
	echo "kernel $1: $2"
	(cd built/kernels && apt-get "${PRIVATE[@]}" download "$2" 2>/dev/null && dpkg -x "$2"_*.deb "$1" &&
		dpkg -f "$2"_*.deb Version > "$1/debian-version" && rm -f "$2"_*.deb)
}

if ! [ -d built/kernels/5.10 ] || ! [ -d built/kernels/6.1 ] || ! [ -d built/kernels/6.12 ]; then
	apt-get "${PRIVATE[@]}" update -qq
	fetch 5.10 "$(newest 5.10.0-)"
	fetch 6.1 "$(newest 6.1.0-)"
	fetch 6.12 "$(newest 6.12. '[+]deb13')"
fi
gcc -O2 -Wall -static -o built/dlmtool guest/dlmtool.c

MODULES="virtio_pci virtio_net virtio_blk virtio_console 9pnet_virtio 9p configfs dlm sctp gfs2 sch_netem
	crc32c_generic crc32c-intel crc32c nf_tables nft_numgen nft_meta nft_ct nft_compat nft_counter"
for series in 5.10 6.1 6.12; do
	root=built/root-$series
	rm -rf $root
	mkdir -p $root/{bin,sbin,usr/bin,usr/sbin,lib64,lib,etc,tmp,dev,proc,sys,mnt}
	cp /bin/busybox built/dlmtool $root/bin/
	cp guest/init $root/init
	for tool in tc nft; do
		path=$(command -v $tool)
		cp -L "$path" $root/sbin/$tool
		for library in $(ldd "$path" | grep -o '/[^ ]*'); do
			mkdir -p "$root$(dirname "$library")"
			cp -L "$library" "$root$library"
		done
	done
	source=built/kernels/$series
	modules=$source/lib/modules
	[ -d $modules ] || modules=$source/usr/lib/modules
	version=$(ls $modules)
	base=$(dirname "$(dirname $modules)")
	[ -e $base/lib ] || ln -s usr/lib $base/lib
	[ -e "$modules/$version/modules.dep" ] || depmod -b $base "$version"
	for module in $MODULES; do
		modprobe -d $base -S "$version" --show-depends "$module" 2>/dev/null || true # names differ between kernels
	done | awk '$1 == "insmod" {print $2}' | sort -u | while read -r file; do
		target=$root/lib/modules/${file#*/lib/modules/}
		mkdir -p "$(dirname "$target")"
		case $file in
		*.xz) xz -dc "$file" > "${target%.xz}" ;;
		*) cp "$file" "$target" ;;
		esac
	done
	cp "$modules/$version"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$version/"
	depmod -b $root "$version"
	(cd $root && find . | cpio -o -H newc --quiet | gzip -1) > built/initrd-$series
	cp $source/boot/vmlinuz-* built/vmlinuz-$series
	{ echo "$version"; cat $source/debian-version; } > built/version-$series
	echo "built $series: $version"
done
