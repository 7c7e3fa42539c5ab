// The report: every view stands in the file.
(async () => {
  let given;
  try {
    given = JSON.parse(await unpacked("given"));
    document.head.append(make("script", {}, await unpacked("plotly")));
  } catch (error) {
    fail(error.message);
    return;
  }
  const rate = (row) => (row[2] ? row[4] / row[2] : -1);
  const value = (row, n) => (n < 5 ? row[n] : n === 5 ? rate(row) : Number(row[5]));
  const source = {
    given,

    async view(state) {
      const view = given.views[`${state.period}|${state.category}`];
      return state.category ? ofCategory(view, given.views[`${state.period}|`]) : view;
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
  await showPage(source).start();
})();
