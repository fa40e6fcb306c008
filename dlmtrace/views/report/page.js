"use strict";
// Zoom, pan and hover of the graphs, and the filter of the findings.  Words reach the page as text only.
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = {left: 66, right: 14, top: 44, bottom: 52};
const LETTER = 7.2; // pixels of a letter in a label, at most
const REACH = 22; // pixels from the pointer to what it points at
const KINDS = ["sent", "sent again", "ACK", "frame"];
const STEPS = [];
for (let power = 1; power < 1e7; power *= 10) STEPS.push(power, 2 * power, 5 * power);
STEPS.push(...[10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].map(each => each * 1e6));
const told = document.getElementById("told");

function sums(steps) {
  let sum = 0;
  return steps.map(step => (sum += step));
}

function make(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  return element;
}

function timeOfDay(microseconds, digits) {
  const day = ((microseconds % 864e8) + 864e8) % 864e8;
  const whole = Math.floor(day / 1e6);
  const parts = [whole / 3600, (whole / 60) % 60, whole % 60].map(each => String(Math.floor(each)).padStart(2, "0"));
  const rest = String(Math.floor(day % 1e6)).padStart(6, "0").slice(0, digits);
  return parts.join(":") + (digits ? "." + rest : "");
}

function dateAndTime(date, microseconds) {
  return new Date(date * 864e5 + Math.floor(microseconds / 1e3)).toISOString().slice(5, 16).replace("T", " ");
}

class Plot {
  constructor(figure) {
    this.figure = figure;
    this.svg = figure.querySelector("svg.graph");
    this.plot = this.svg.querySelector(".plot");
    this.strip = this.svg.querySelector(".strip");
    this.base = [Number(this.plot.getAttribute("width")), Number(this.plot.getAttribute("height"))];
    this.world = this.plot.querySelector(".world");
    this.carriers = this.strip.querySelector(".carriers");
    this.axes = this.svg.querySelector(".axes");
    this.tags = [...this.svg.querySelectorAll(".tag")];
    this.over = make("g", {class: "over"});
    this.plot.append(this.over);
    this.pointers = new Map();
    figure.classList.add("live");
    this.showAll();
    this.listen();
  }

  get data() {
    if (!this.read) {
      const read = JSON.parse(this.figure.querySelector("script").textContent);
      for (const column of ["t", "n", "p", "c", "f"]) if (read[column]) read[column] = sums(read[column]);
      this.read = read;
    }
    return this.read;
  }

  showAll() {
    this.view = {x: 0, y: 0, w: 1, h: 1}; // of the whole plot, from its upper left corner
    this.layout();
  }

  layout() {
    const width = Math.max(this.figure.clientWidth, 280);
    const full = Number(this.figure.dataset.height);
    const height = width < 600 ? Math.min(full, 320) : full;
    this.size = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
    const [w, h] = this.size;
    const set = (element, values) => Object.entries(values).forEach(([key, value]) => element.setAttribute(key, value));
    set(this.svg, {width, height, viewBox: `0 0 ${width} ${height}`});
    set(this.svg.querySelector(".paper"), {width, height});
    set(this.plot, {width: w, height: h});
    set(this.svg.querySelector(".edge"), {width: w, height: h});
    set(this.strip, {width: w, y: MARGIN.top + h + 3});
    this.draw();
  }

  draw() {
    const [w, h] = this.size, view = this.view;
    view.w = Math.min(Math.max(view.w, 1e-7), 1);
    view.h = Math.min(Math.max(view.h, 1e-7), 1);
    view.x = Math.min(Math.max(view.x, 0), 1 - view.w);
    view.y = Math.min(Math.max(view.y, 0), 1 - view.h);
    const k = w / this.base[0] / view.w, l = h / this.base[1] / view.h;
    const e = (-view.x / view.w) * w, f = (-view.y / view.h) * h;
    this.world.setAttribute("transform", `matrix(${k} 0 0 ${l} ${e} ${f})`);
    this.carriers.setAttribute("transform", `matrix(${k} 0 0 1 ${e} 0)`);
    this.drawAxes();
    this.placeTags(k, e);
    this.over.replaceChildren();
    told.hidden = true;
  }

  // Values at the edges of what is shown.
  times() {
    const [begin, room] = this.data.x;
    return [begin + this.view.x * room, begin + (this.view.x + this.view.w) * room];
  }

  numbers() {
    const [begin, room] = this.data.y;
    return [begin + (1 - this.view.y - this.view.h) * room, begin + (1 - this.view.y) * room];
  }

  place(time, number) {
    const {x, y} = this.data, view = this.view, [w, h] = this.size;
    const across = (time - x[0]) / x[1], down = 1 - (number - y[0]) / y[1];
    return [((across - view.x) / view.w) * w, ((down - view.y) / view.h) * h];
  }

  drawAxes() {
    const {data} = this, [w, h] = this.size;
    const [low, high] = this.numbers(), [from, until] = this.times();
    const drawn = [];
    let step = 1;
    while ((high - low) / step > Math.max(h / 50, 2)) step = String(step)[0] === "2" ? step * 2.5 : step * 2;
    for (let n = Math.ceil((low + data.low) / step) * step; n <= high + data.low; n += step) {
      if (n - data.low < 0 || n - data.low > data.rise) continue;
      const y = MARGIN.top + this.place(0, n - data.low)[1];
      drawn.push(make("path", {class: "grid", d: `M${MARGIN.left} ${y}h${w}`}));
      drawn.push(make("text", {x: MARGIN.left - 8, y: y + 4, "text-anchor": "end"}, String(((n % 2 ** 32) + 2 ** 32) % 2 ** 32)));
    }
    const wanted = Math.max(w / 120, 2);
    const pace = STEPS.find(each => (until - from) / each <= wanted) || 864e8 * Math.ceil((until - from) / 864e8 / wanted);
    const digits = pace < 1e6 ? Math.max(6 - Math.floor(Math.log10(pace) + 1e-9), 0) : 0;
    for (let t = Math.ceil((from + data.day) / pace) * pace; t <= until + data.day; t += pace) {
      const x = MARGIN.left + this.place(t - data.day, 0)[0];
      drawn.push(make("path", {class: "grid", d: `M${x} ${MARGIN.top}v${h}`}));
      const near = Math.min(Math.max(x, MARGIN.left - 10), MARGIN.left + w - 30);
      drawn.push(make("text", {x: near, y: MARGIN.top + h + 34, "text-anchor": "middle"},
        until - from > 864e8 ? dateAndTime(data.date, t) : timeOfDay(t, digits)));
    }
    drawn.push(make("text", {x: MARGIN.left + w, y: MARGIN.top + h + 48, "text-anchor": "end"}, this.unit));
    this.axes.replaceChildren(...drawn);
  }

  get unit() {
    return this.data.k.includes("3") ? "UTC; up: frames sent, they have no numbers" : "UTC";
  }

  placeTags(k, e) {
    const w = this.size[0], taken = [];
    for (const tag of this.tags) {
      const x = Number(tag.dataset.x) * k + e;
      if (tag.tagName === "path") {
        const moved = x - Number(tag.dataset.x);
        tag.setAttribute("transform", `translate(${moved} 0)`);
        tag.setAttribute("visibility", x >= 0 && x <= w ? "visible" : "hidden");
        continue;
      }
      const room = tag.textContent.length * LETTER + 4;
      if (tag.dataset.end !== undefined) {
        const begin = Math.max(x, 0), end = Math.min(Number(tag.dataset.end) * k + e, w);
        tag.setAttribute("x", MARGIN.left + begin + 4);
        tag.setAttribute("y", MARGIN.top + this.size[1] + 15);
        tag.setAttribute("visibility", end - begin > room + 2 ? "visible" : "hidden");
        continue;
      }
      const begin = Math.min(x, w - room + 4), end = begin + room;
      const free = x >= 0 && x <= w && taken.every(([low, high]) => end <= low || begin >= high);
      if (free) taken.push([begin, end]);
      tag.setAttribute("x", MARGIN.left + begin);
      tag.setAttribute("visibility", free ? "visible" : "hidden");
    }
  }

  zoom(factor, x, y, up = factor) {
    const view = this.view;
    const w = Math.min(view.w * factor, 1), h = Math.min(view.h * up, 1);
    this.view = {x: view.x + (view.w - w) * x, y: view.y + (view.h - h) * y, w, h};
    this.draw();
  }

  // Move to a time (µs from the beginning) and show what is around it.
  show(time) {
    const {data} = this, [begin, room] = data.x;
    const w = Math.min(1, Math.max(0.06, 2e4 / room));
    const from = (time - begin) / room - w / 2;
    let low = Infinity, high = -Infinity;
    data.t.forEach((t, i) => {
      const x = (t - begin) / room;
      if (x >= from && x <= from + w) {
        low = Math.min(low, data.n[i]);
        high = Math.max(high, data.n[i]);
      }
    });
    if (low > high) [low, high] = [0, data.rise];
    const pad = Math.max((high - low) * 0.15, 3);
    const [base, rise] = data.y;
    const h = Math.min(1, (high - low + 2 * pad) / rise);
    this.view = {x: from, w, y: 1 - (high + pad - base) / rise, h};
    this.draw();
    const x = this.place(time, 0)[0];
    this.over.append(make("path", {class: "cursor", d: `M${x} 0V${this.size[1]}`}));
    this.figure.scrollIntoView({block: "center"});
    this.figure.focus({preventScroll: true});
  }

  where(event) {
    const box = this.svg.getBoundingClientRect();
    const scale = (this.size[0] + MARGIN.left + MARGIN.right) / box.width;
    return [(event.clientX - box.left) * scale - MARGIN.left, (event.clientY - box.top) * scale - MARGIN.top];
  }

  point(event) {
    const {data} = this, [px, py] = this.where(event);
    let best = -1, nearest = REACH;
    for (let i = 0; i < data.t.length; i++) {
      const [x, y] = this.place(data.t[i], data.n[i]);
      if (Math.abs(x - px) >= nearest || x < -1 || x > this.size[0] + 1) continue;
      const away = Math.hypot(x - px, y - py);
      if (away < nearest) [best, nearest] = [i, away];
    }
    this.over.replaceChildren();
    if (best >= 0) {
      const [cx, cy] = this.place(data.t[best], data.n[best]);
      this.over.append(make("circle", {class: "found", cx, cy, r: 7}));
      this.tell(event, this.frame(best));
      return;
    }
    const marks = data.marks.filter(mark => Math.abs(this.place(mark[0], 0)[0] - px) < 6);
    if (marks.length && px >= 0 && px <= this.size[0]) {
      const lines = marks.slice(0, 4).map(mark =>
        `${mark[1]} ${mark[4]}\n${this.packet(mark[2], mark[3])}, ${this.moment(mark[0])}`);
      this.tell(event, lines.join("\n"));
    } else told.hidden = true;
  }

  moment(time) {
    const {data} = this, of_day = timeOfDay(time + data.day, 6);
    return data.span > 864e8 ? `${dateAndTime(data.date, time + data.day).slice(0, 5)} ${of_day}` : of_day;
  }

  packet(number, file) {
    const {files} = this.data;
    return files ? `packet ${files[file]}:${number}` : `packet ${number}`;
  }

  frame(i) {
    const {data} = this, kind = Number(data.k[i]);
    const number = (((data.n[i] + data.low) % 2 ** 32) + 2 ** 32) % 2 ** 32;
    const lines = [this.packet(data.p[i], data.f ? data.f[i] : 0)];
    lines.push(kind === 2 ? `ACK ${number}: everything before it has arrived` :
      kind === 3 ? `frame ${number + 1} of the stream` : `${number} ${KINDS[kind]}`);
    if (data.texts[data.s[i]]) lines.push(data.texts[data.s[i]]);
    lines.push(`${this.moment(data.t[i])} on c${data.c[i] + 1}`);
    if (data.m[i]) lines.push(`and ${data.m[i]} more until the next point`);
    return lines.join("\n");
  }

  tell(event, words) {
    told.textContent = words;
    told.hidden = false;
    const room = document.documentElement.clientWidth;
    const x = Math.min(event.pageX + 14, window.scrollX + room - told.offsetWidth - 6);
    told.style.left = `${Math.max(x, 6)}px`;
    told.style.top = `${event.pageY + 16}px`;
  }

  listen() {
    const fraction = event => {
      const [x, y] = this.where(event);
      return [x / this.size[0], y / this.size[1]];
    };
    this.svg.addEventListener("pointerdown", event => {
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      if (event.pointerType !== "mouse") this.point(event);
    });
    this.svg.addEventListener("pointermove", event => {
      const before = this.pointers.get(event.pointerId);
      if (!before) {
        this.point(event);
        return;
      }
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      const moved = [event.clientX - before[0], event.clientY - before[1]];
      if (others.length) {
        const apart = at => Math.hypot(at[0] - others[0][0], at[1] - others[0][1]) || 1;
        this.zoom(apart(before) / apart([event.clientX, event.clientY]), ...fraction(event));
      } else if (Math.hypot(...moved) > 0) {
        this.svg.setPointerCapture(event.pointerId);
        this.view.x -= (moved[0] / this.size[0]) * this.view.w;
        this.view.y -= (moved[1] / this.size[1]) * this.view.h;
        this.draw();
      }
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave"])
      this.svg.addEventListener(name, event => {
        this.pointers.delete(event.pointerId);
        if (name === "pointerleave" && event.pointerType === "mouse") {
          told.hidden = true;
          this.over.replaceChildren();
        }
      });
    this.svg.addEventListener("dblclick", event => this.zoom(0.4, ...fraction(event)));
    this.svg.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, ...fraction(event));
    }, {passive: false});
    const actions = {in: () => this.zoom(0.5, 0.5, 0.5), out: () => this.zoom(2, 0.5, 0.5), all: () => this.showAll()};
    this.figure.querySelector(".tools").addEventListener("click", event => {
      const action = actions[event.target.dataset.do];
      if (action) action();
    });
    this.figure.addEventListener("keydown", event => {
      const step = 0.15, view = this.view;
      const keys = {
        "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.all,
        ArrowLeft: () => { view.x -= step * view.w; this.draw(); },
        ArrowRight: () => { view.x += step * view.w; this.draw(); },
        ArrowUp: () => { view.y -= step * view.h; this.draw(); },
        ArrowDown: () => { view.y += step * view.h; this.draw(); },
      };
      if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        keys[event.key]();
      }
    });
  }
}

// What a finger asked for stays until it taps elsewhere.
document.addEventListener("pointerdown", event => {
  if (!event.target.closest("svg.graph")) told.hidden = true;
});

const plots = new Map();
const plotOf = figure => {
  if (!plots.has(figure.id)) plots.set(figure.id, new Plot(figure));
  return plots.get(figure.id);
};
// A graph comes alive when it comes near the window, so that a long page opens at once.
const coming = new IntersectionObserver(entries => entries.forEach(entry => {
  if (entry.isIntersecting) {
    coming.unobserve(entry.target);
    plotOf(entry.target);
  }
}), {rootMargin: "600px"});
document.querySelectorAll("figure.plotted").forEach(figure => coming.observe(figure));
let width = document.documentElement.clientWidth;
window.addEventListener("resize", () => {
  if (document.documentElement.clientWidth !== width) {
    width = document.documentElement.clientWidth;
    plots.forEach(plot => plot.layout());
  }
});

const filter = document.querySelector(".filter");
if (filter) {
  const rows = [...document.querySelectorAll(".findings tbody tr")];
  const words = rows.map(row => row.textContent.toLowerCase());
  const sift = () => {
    const wanted = filter.querySelector("[type=search]").value.toLowerCase().split(/\s+/);
    const stream = filter.querySelector("select").value;
    const levels = [...filter.querySelectorAll(":checked")].map(box => box.value);
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = wanted.every(word => words[i].includes(word)) && levels.includes(row.dataset.level) &&
        (!stream || row.dataset.stream === stream);
      row.hidden = !fits;
      shown += fits;
    });
    filter.querySelector("output").textContent = shown === rows.length ? `${shown} findings` : `${shown} of ${rows.length} findings`;
  };
  filter.addEventListener("input", sift);
  filter.addEventListener("change", sift);
  filter.addEventListener("submit", event => event.preventDefault());
  // Browsers keep what was typed when a page is loaded again.
  sift();
  const reveal = () => {
    const row = location.hash.startsWith("#f") && document.getElementById(location.hash.slice(1));
    if (row && row.hidden) {
      filter.reset();
      sift();
      row.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", reveal);
  document.querySelectorAll("a.show").forEach(link => link.addEventListener("click", event => {
    event.preventDefault();
    plotOf(document.querySelector(link.getAttribute("href"))).show(Number(link.dataset.at));
  }));
}
