// The report: every view stands in the file.
(async () => {
  if (!("DecompressionStream" in window)) {
    fail("This browser is too old for the report. Open it in one of 2023 or later.");
    return;
  }
  const given = JSON.parse(await unpacked("given"));
  const rate = (row) => (row[2] ? row[4] / row[2] : -1);
  const value = (row, n) => (n < 5 ? row[n] : n === 5 ? rate(row) : Number(row[5]));
  const source = {
    given,

    async view(state) {
      const view = given.views[`${state.period}|${state.category}`];
      if (!state.category) return view;
      // Cards that know no categories are those of all, and say so.
      const every = given.views[`${state.period}|`].cards;
      const cards = Object.fromEntries(Object.entries(every).map(([name, card]) =>
        [name, view.cards[name] ?? { ...card, note: name === "categories" ? "" : "all categories" }]));
      return { ...view, cards };
    },

    async products(products, _state, { search, sort, descending, limit }) {
      const text = search.toLowerCase();
      const compare = (a, b) => { const [x, y] = [value(a, sort), value(b, sort)]; return x < y ? -1 : x > y ? 1 : 0; };
      const found = products.rows
        .filter((row) => !text || `${row[0]}\n${row[1]}`.toLowerCase().includes(text))
        .toSorted((a, b) => (descending ? compare(b, a) : compare(a, b)));
      return { ...products, rows: found.slice(0, limit), found: found.length };
    },
  };
  document.head.append(make("script", {}, await unpacked("plotly")));
  await showPage(source).start();
})();
