// Draws the charts; searches, filters, sorts and pages the classes; dark and light; paper.
const $ = (id) => document.getElementById(id);
const json = (id) => JSON.parse($(id).textContent);

// --- charts -------------------------------------------------------------------------------------
const options = {
  mode: "vega-lite",
  renderer: "svg",
  actions: false,
  ast: true, // expressions are interpreted: the page allows no eval
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};
const views = new Map(); // place → promise of its view

function embed(place, id, rows) {
  const specification = json(id);
  if (rows) specification.datasets = { rows };
  const inside = document.createElement("div"); // which Vega gives a role of its own
  place.replaceChildren(inside);
  const drawn = window
    .vegaEmbed(inside, specification, options)
    .then(({ view }) => view)
    .catch((error) => {
      place.textContent = `This chart could not be drawn: ${error.message}`;
    });
  views.set(place, drawn);
  return drawn;
}

const waiting = new Set();
function draw(place) {
  if (!waiting.delete(place)) return;
  if (place.closest("#explorer")) explorer.draw();
  else embed(place, place.dataset.chart);
}
const seen = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
  { rootMargin: "200px" },
);
const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
function drawNext() {
  const [next] = waiting;
  if (!next) return;
  draw(next);
  idle(drawNext);
}

// --- words --------------------------------------------------------------------------------------
function oneDigit(value) {
  const tenths = 10 * value; // halves to even, as the rest of the page rounds
  let whole = Math.round(tenths);
  if (Math.abs(tenths % 1) === 0.5 && whole % 2) whole -= 1;
  return (whole / 10).toFixed(1);
}
const percent = (share) => (share === null ? "–" : `${oneDigit(100 * share)}%`);
const thousands = (number) => number.toLocaleString("en-US");
function points(share) {
  if (share === null) return "–";
  const text = oneDigit(Math.abs(100 * share));
  return text === "0.0" ? "±0.0" : `${share < 0 ? "−" : "+"}${text}`;
}
const range = (low, high) => `${oneDigit(low / 10)}–${oneDigit(high / 10)}%`;
const change = (low, high) => `${points(low / 1000)} to ${points(high / 1000)}`;
const classes = (number) => `${thousands(number)} class${number === 1 ? "" : "es"}`;

// --- the classes --------------------------------------------------------------------------------
const { GROUPS, MOST_BARS, MOST_NAMES, BINS, PAGE } = $("constants") ? json("constants") : {};

class Explorer {
  constructor(data) {
    Object.assign(this, data);
    this.size = this.names.length;
    this.every = Array.from({ length: this.size }, (_, c) => c);
    this.first = this.classifiers.findIndex(({ name }) => name === data.first);
    this.new = this.classifiers.findIndex(({ name }) => name === data.shown);
    this.only = null; // classes that were clicked at
    this.place = document.querySelector("[data-chart=chart-bars]");
    this.drawn = null;
    this.page = 0;
    this.column = null;
    for (const each of this.classifiers) {
      each.recall = each.right.map((right, c) => (this.support[c] ? right / this.support[c] : null));
    }
  }

  get lower() {
    return (this.lowered ??= this.names.map((name) => name.toLowerCase()));
  }

  get alphabetical() {
    if (!this.ranks) {
      const { compare } = new Intl.Collator("en", { numeric: true });
      this.ranks = new Int32Array(this.size);
      this.every
        .slice()
        .sort((a, b) => compare(this.names[a], this.names[b]) || a - b)
        .forEach((c, rank) => (this.ranks[c] = rank));
    }
    return this.ranks;
  }

  recall(classifier, c) {
    return classifier < 0 ? null : this.classifiers[classifier].recall[c];
  }

  changeOf(c) {
    const before = this.recall(this.first, c), after = this.recall(this.new, c);
    return before === null || after === null ? null : after - before;
  }

  get compared() {
    return this.new < 0 ? undefined : this.changes[this.classifiers[this.new].name];
  }

  chosen() {
    const query = $("find").value.trim().toLowerCase();
    const groups = new Set(Array.from(document.querySelectorAll("[name=group]:checked"), (box) => +box.value));
    const grouped = this.groups && groups.size < document.querySelectorAll("[name=group]").length;
    return (this.only ?? this.every).filter(
      (c) => (!query || this.lower[c].includes(query)) && (!grouped || groups.has(this.groups[c])),
    );
  }

  sorted(found, key, rising) {
    const keys = new Float64Array(this.size);
    for (const c of found) keys[c] = key(c) ?? Number.NaN;
    const side = rising ? 1 : -1;
    return found.slice().sort((a, b) => {
      const x = keys[a], y = keys[b];
      if (x !== x || y !== y) return (x !== x) - (y !== y) || a - b; // unknown ones last
      return side * (x - y) || a - b;
    });
  }

  // The order of the chart.
  ordered(found) {
    switch ($("order").value) {
      case "low": return this.sorted(found, (c) => this.recall(this.first, c), true);
      case "new": return this.sorted(found, (c) => this.recall(this.new, c), true);
      case "paid": return this.sorted(found, (c) => this.changeOf(c), true);
      case "rose": return this.sorted(found, (c) => this.changeOf(c), false);
      case "name": return this.sorted(found, (c) => this.alphabetical[c], true);
      default: return this.sorted(found, (c) => this.trained[c], false);
    }
  }

  said(classifier, c) {
    const recall = this.recall(classifier, c);
    if (recall === null) return "no test image";
    const { low, high, name } = this.classifiers[classifier];
    return `${percent(recall)}${low ? ` [${range(low[c], high[c])}]` : ""}${this.new < 0 ? "" : `, ${this.titles[name]}`}`;
  }

  bar(c, rank) {
    const shown = this.new < 0 ? this.first : this.new;
    const { low, high } = this.classifiers[shown];
    const sure = this.compared;
    const limits = sure && this.support[c] ? ` [${change(sure.low[c], sure.high[c])}]` : "";
    return {
      class: this.names[c],
      rank,
      group: this.groups ? GROUPS[this.groups[c]] : "",
      old: this.new < 0 ? null : this.recall(this.first, c),
      new: this.recall(shown, c),
      low: low && low[c] !== null ? low[c] / 1000 : null,
      high: high && high[c] !== null ? high[c] / 1000 : null,
      tip_class: this.names[c],
      tip_training: this.trained && thousands(this.trained[c]),
      tip_group: this.groups && GROUPS[this.groups[c]],
      tip_test: thousands(this.support[c]),
      tip_recall: this.said(shown, c),
      tip_from: this.said(this.first, c),
      tip_to: this.said(shown, c),
      tip_change: `${points(this.changeOf(c))}${limits}`,
    };
  }

  bins(found) {
    const apart = this.groups && $("order").value === "trained";
    const size = Math.ceil(found.length / BINS);
    const bins = [];
    let start = 0;
    for (const group of apart ? [0, 1, 2] : [null]) {
      const members = apart ? found.filter((c) => this.groups[c] === group) : found;
      const parts = Math.ceil(members.length / size);
      for (let part = 0; part < parts; part++) {
        const from = Math.floor((part * members.length) / parts);
        const to = Math.floor(((part + 1) * members.length) / parts);
        bins.push(this.bin(members.slice(from, to), start + from, apart ? GROUPS[group] : ""));
      }
      start += members.length;
    }
    return bins;
  }

  bin(members, start, group) {
    const shown = this.new < 0 ? this.first : this.new;
    const known = (classifier) => members.map((c) => this.recall(classifier, c)).filter((r) => r !== null);
    const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);
    const worst = (values) => mean(Float64Array.from(values).sort().slice(0, Math.ceil(values.length / 10)));
    const before = this.new < 0 ? [] : known(this.first), after = known(shown);
    const lowest = this.sorted(members, (c) => this.recall(shown, c), true)[0];
    const trained = this.trained && members.map((c) => this.trained[c]);
    return {
      start,
      stop: start + members.length,
      middle: start + members.length / 2,
      group,
      members,
      old: mean(before),
      new: mean(after),
      worst_old: worst(before),
      worst_new: worst(after),
      tip_classes: thousands(members.length),
      tip_training: trained && `${thousands(Math.max(...trained))} to ${thousands(Math.min(...trained))}`,
      tip_group: group || "–",
      tip_test: thousands(members.reduce((sum, c) => sum + this.support[c], 0)),
      tip_recall: `${percent(mean(after))}, worst tenth ${percent(worst(after))}`,
      tip_from: `${percent(mean(before))}, worst tenth ${percent(worst(before))}`,
      tip_to: `${percent(mean(after))}, worst tenth ${percent(worst(after))}`,
      tip_change: after.length && before.length ? points(mean(after) - mean(before)) : "–",
      tip_lowest: `${this.names[lowest]}, ${percent(this.recall(shown, lowest))}`,
    };
  }

  // One drawing after the other; of those that wait only the last.
  draw() {
    const mine = (this.wanted = (this.wanted ?? 0) + 1);
    this.last = (this.last ?? Promise.resolve()).then(() => (mine === this.wanted ? this.redraw() : undefined));
    return this.last;
  }

  // Draws anew, or puts other rows into the chart that is there.
  async redraw() {
    const found = this.ordered(this.chosen());
    const many = found.length > MOST_BARS;
    const rows = many ? this.bins(found) : found.map((c, rank) => this.bar(c, rank));
    $("lines-words").hidden = !many;
    $("bars-words").hidden = many;
    $("count").textContent =
      found.length === this.size ? classes(this.size) : `${thousands(found.length)} of ${classes(this.size)}`;
    $("all").hidden = found.length === this.size;
    const names = found.length <= MOST_NAMES;
    if (this.drawn === many) {
      const view = await views.get(this.place);
      if (!view) return;
      if (!many) view.signal("names", names);
      await view.data("rows", rows).runAsync();
      return;
    }
    this.drawn = many;
    (await views.get(this.place))?.finalize();
    const view = await embed(this.place, many ? this.place.dataset.many : this.place.dataset.chart, rows);
    if (!many) await view?.signal("names", names).runAsync();
    view?.addEventListener("click", (_, item) => {
      if (!item?.datum?.members) return;
      this.only = item.datum.members;
      this.update();
    });
  }

  key(column) {
    if (column === "name") return (c) => this.alphabetical[c];
    if (column === "change") return (c) => this.changeOf(c);
    if (column === "support") return (c) => this.support[c];
    if (column === "trained") return (c) => this.trained[c];
    if (column === "group") return (c) => this.groups[c];
    return (c) => this.recall(Number(column.split("-")[1]), c);
  }

  tabulated() {
    const found = this.chosen();
    if (this.column) return this.sorted(found, this.key(this.column), this.rising);
    const shown = this.new < 0 ? this.first : this.new; // worst first, as the page was written
    return found.sort((a, b) => {
      const x = this.recall(shown, a), y = this.recall(shown, b);
      if (x === null || y === null) return (x === null) - (y === null);
      return x - y || this.recall(this.first, a) - this.recall(this.first, b)
        || (this.trained ? this.trained[b] - this.trained[a] : 0) || a - b;
    });
  }

  table() {
    const found = this.tabulated();
    const long = this.size > MOST_BARS;
    const page = long ? PAGE : found.length;
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    this.page = Math.min(this.page, last);
    const from = long ? this.page * PAGE : 0;
    const rows = found.slice(from, from + page).map((c) => this.row(c));
    document.querySelector(".classes tbody").replaceChildren(...rows);
    $("pager").hidden = !long;
    $("back").disabled = this.page === 0;
    $("next").disabled = this.page === last;
    $("place").textContent = found.length
      ? `${thousands(from + 1)}–${thousands(from + rows.length)} of ${thousands(found.length)}`
      : "no class";
  }

  row(c) {
    const row = document.createElement("tr");
    const head = row.appendChild(document.createElement("th"));
    head.scope = "row";
    head.appendChild(document.createElement("bdi")).textContent = this.names[c];
    const cell = (text, below) => {
      const made = row.appendChild(document.createElement("td"));
      made.textContent = text;
      if (below) made.appendChild(document.createElement("small")).textContent = below;
      return made;
    };
    if (this.trained) cell(thousands(this.trained[c]));
    if (this.groups) {
      const group = cell("");
      group.className = "text";
      group.appendChild(document.createElement("i")).className = `dot ${GROUPS[this.groups[c]]}`;
      group.append(GROUPS[this.groups[c]]);
    }
    cell(thousands(this.support[c]));
    this.classifiers.forEach(({ recall, low, high }) =>
      cell(percent(recall[c]), low && low[c] !== null && range(low[c], high[c])),
    );
    if (this.new >= 0) {
      const sure = this.compared, moved = this.changeOf(c);
      const made = cell(points(moved), sure && moved !== null && change(sure.low[c], sure.high[c]));
      if (sure?.sure[c]) {
        const word = made.appendChild(document.createElement("b"));
        word.className = word.textContent = sure.sure[c] > 0 ? "rose" : "paid";
      }
    }
    return row;
  }

  update() {
    this.page = 0;
    this.table();
    return waiting.has(this.place) ? undefined : this.draw();
  }

  listen() {
    $("controls").hidden = false;
    $("controls").addEventListener("submit", (event) => event.preventDefault());
    let typing = 0;
    $("find").addEventListener("input", () => {
      cancelAnimationFrame(typing);
      typing = requestAnimationFrame(() => this.update());
    });
    document.querySelectorAll("[name=group]").forEach((box) => box.addEventListener("change", () => this.update()));
    $("order").addEventListener("change", () => this.draw());
    $("against")?.addEventListener("change", (event) => {
      this.new = Number(event.target.value);
      document.querySelector("#explorer .names bdi").textContent = this.classifiers[this.new].name;
      this.update();
    });
    $("all").addEventListener("click", () => {
      this.only = null;
      $("find").value = "";
      document.querySelectorAll("[name=group]").forEach((box) => (box.checked = true));
      this.update();
      $("find").focus();
    });
    for (const [id, step] of [["back", -1], ["next", 1]]) {
      $(id).addEventListener("click", () => {
        this.page += step;
        this.table();
        document.querySelector("#table-of-classes .scroll").scrollTop = 0;
      });
    }
    for (const head of document.querySelectorAll("[data-column]")) {
      head.addEventListener("click", () => {
        const cell = head.closest("th");
        this.rising = cell.getAttribute("aria-sort") !== "ascending";
        for (const other of cell.parentNode.children) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", this.rising ? "ascending" : "descending");
        this.column = head.dataset.column;
        this.page = 0;
        this.table();
      });
    }
    if (this.size > MOST_BARS) this.table();
  }
}

const explorer = $("columns") && new Explorer(json("columns"));
explorer?.listen();
for (const place of document.querySelectorAll("[data-chart]")) {
  waiting.add(place);
  seen.observe(place);
}
idle(drawNext);

// --- dark and light -----------------------------------------------------------------------------
const theme = $("theme");
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
const dark = () => (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";
const showTheme = () => theme.setAttribute("aria-pressed", dark());
theme.hidden = false;
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  showTheme();
});
systemDark.addEventListener("change", showTheme);
showTheme();

// --- paper --------------------------------------------------------------------------------------
let closed = [];
window.addEventListener("beforeprint", () => {
  for (const place of [...waiting]) draw(place);
  closed = [...document.querySelectorAll("details:not([open], .long)")];
  for (const details of closed) details.open = true;
  for (const [place, drawn] of views) {
    drawn.then((view) => view?.width(place.closest(".pair") ? 300 : 640).run()); // legible on paper
  }
});
window.addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
  window.dispatchEvent(new Event("resize")); // back to the width of the page
});
