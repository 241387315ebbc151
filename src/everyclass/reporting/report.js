// Draws the charts, sorts the table of classes, opens it for printing.
const options = {
  mode: "vega-lite",
  renderer: "svg",
  actions: false,
  ast: true, // expressions are interpreted: the page allows no eval
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};

const views = [];
for (const place of document.querySelectorAll("[data-chart]")) {
  const specification = JSON.parse(document.getElementById(place.dataset.chart).textContent);
  window
    .vegaEmbed(place, specification, options)
    .then(({ view }) => views.push([view, place.closest(".pair") ? 320 : 640]))
    .catch((error) => {
      place.textContent = `This chart could not be drawn: ${error.message}`;
    });
}

const inOrder = new Intl.Collator("en", { numeric: true }).compare;
const number = (text) => Number.parseFloat(text.replace(/[,%+±]/g, "").replace("−", "-"));

for (const head of document.querySelectorAll("[data-sort]")) {
  head.addEventListener("click", () => {
    const cell = head.closest("th");
    const rising = cell.getAttribute("aria-sort") !== "ascending";
    for (const other of cell.parentNode.children) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const body = cell.closest("table").tBodies[0];
    const keyed = Array.from(body.rows, (row) => {
      const text = row.cells[cell.cellIndex].textContent;
      return [head.dataset.sort === "number" ? number(text) : text, row];
    });
    const side = rising ? 1 : -1;
    keyed.sort(([a], [b]) => {
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return side * (typeof a === "string" ? inOrder(a, b) : a - b);
    });
    body.append(...keyed.map(([, row]) => row));
  });
}

let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open], .long)")];
  for (const details of closed) details.open = true;
  for (const [view, width] of views) view.width(width).run(); // legible on paper
});
window.addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
  window.dispatchEvent(new Event("resize")); // back to the width of the page
});
