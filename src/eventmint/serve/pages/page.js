// Draws the document that Python made of a period: tiles, figures, tables. Every text from data is set as text.
"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);
  const unpacked = async (id) => {
    const bytes = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  if (!("DecompressionStream" in window)) {
    byId("error").textContent = "This browser is too old for the report. Open it in one of 2023 or later.";
    byId("error").hidden = false;
    return;
  }
  const given = JSON.parse(await unpacked("given"));
  const state = { period: given.period, category: "" };
  const CARDS = [
    ["hours", ""], ["funnel", ""], ["products", ""], ["visitors", ""], ["categories", "wide categories"],
  ];
  let shown = null;

  // ---- small helpers ------------------------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function sparkline(values) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 100 28");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    if (values.length > 1) {
      const most = Math.max(...values), least = Math.min(...values, 0), span = most - least || 1;
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      line.setAttribute("points", values.map((value, n) =>
        `${(100 * n) / (values.length - 1)},${26 - (24 * (value - least)) / span}`).join(" "));
      svg.append(line);
    }
    return svg;
  }

  function table(columns, rows, caption) {
    // A column is one of numbers where every cell is a number, an amount, a share or a dash.
    const isText = columns.map((_, n) => rows.some((row) => !/^([$<>\u2212]?[\d.,]+%?|-)$/.test(row[n])));
    const head = make("tr", {}, ...columns.map((name, n) => make("th", { scope: "col", class: isText[n] ? "text" : "" }, name)));
    const body = rows.map((row) => make("tr", {}, ...row.map((cell, n) => make("td", { class: isText[n] ? "text" : "", title: cell }, cell))));
    return make("table", {}, make("caption", { hidden: "" }, caption), make("thead", {}, head), make("tbody", {}, ...body));
  }

  function themed(figure) {
    if (document.documentElement.dataset.theme !== "dark") return structuredClone(figure);
    let text = JSON.stringify(figure);
    for (const [light, dark] of Object.entries(given.dark)) text = text.replaceAll(light, dark);
    return JSON.parse(text);
  }

  // ---- parts --------------------------------------------------------------------------------------------

  function drawTiles(tiles) {
    byId("tiles").replaceChildren(...tiles.map((tile) => {
      const { direction, text } = tile.change;
      const arrow = direction > 0 ? "▲ " : direction < 0 ? "▼ " : "";
      return make("section", { class: "tile", "aria-label": tile.label },
        make("h2", {}, tile.label),
        make("div", { class: "value", title: tile.exact }, tile.value),
        make("div", { class: direction > 0 ? "up" : direction < 0 ? "down" : "same" }, arrow + text),
        ...(tile.note ? [make("div", { class: "note" }, tile.note)] : []),
        sparkline(tile.series));
    }));
  }

  function drawCard(name, extra, card) {
    const plot = make("div", { class: "plot", role: "img", "aria-label": `${card.title}. ${card.subtitle}` });
    const rows = make("div", { class: "rows", hidden: "", tabindex: "0", role: "region", "aria-label": `${card.title}, as a table` });
    const scroll = make("div", { class: "scroll" }, plot);
    const toggle = make("button", { type: "button", class: "quiet", "aria-pressed": "false" }, "Table");
    toggle.addEventListener("click", () => {
      const asTable = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", asTable);
      toggle.textContent = asTable ? "Chart" : "Table";
      if (asTable && !rows.firstChild) rows.append(table(card.columns, card.rows, card.title));
      rows.hidden = !asTable;
      scroll.hidden = asTable;
    });
    const title = make("h2"), subtitle = make("p");
    title.textContent = card.title;
    subtitle.textContent = card.subtitle + (card.note ? ` · ${card.note}` : "");
    const section = make("section", { class: `card ${extra}`, id: `card-${name}` },
      make("div", { class: "head" }, make("div", {}, title, subtitle), ...(card.rows.length ? [toggle] : [])), scroll, rows);
    return { section, plot, card };
  }

  function drawProducts(products) {
    const columns = ["Product", "Category", "Views", "Added to cart", "Purchases", "View to purchase", "Revenue"];
    let sortBy = 4, descending = true, found = products.rows;
    const search = make("input", { type: "search", placeholder: "Search product or category", "aria-label": "Search product or category" });
    const said = make("p", { role: "status" });
    const body = make("tbody"), heads = [];
    const more = make("button", { type: "button", class: "quiet" }, "Show more");
    let limit = 8;
    const rate = (row) => (row[2] ? row[4] / row[2] : -1);
    const value = (row, n) => (n < 5 ? row[n] : n === 5 ? rate(row) : Number(row[5]));
    const share = (row) => {
      if (!row[2]) return "-";
      const percent = 100 * rate(row);
      return percent > 0 && percent < 0.1 ? "<0.1%" : `${percent.toFixed(1)}%`;
    };
    const cells = (row) => [row[0], row[1], ...row.slice(2, 5).map((n) => n.toLocaleString("en-US")), share(row),
      `$${row[5].replace(/\B(?=(\d{3})+(?=\.))/g, ",")}`];
    function update() {
      const wanted = search.value.trim().toLowerCase();
      found = products.rows.filter((row) => !wanted || `${row[0]}\n${row[1]}`.toLowerCase().includes(wanted));
      const compare = (a, b) => { const [x, y] = [value(a, sortBy), value(b, sortBy)]; return x < y ? -1 : x > y ? 1 : 0; };
      found = found.toSorted((a, b) => (descending ? compare(b, a) : compare(a, b)));
      body.replaceChildren(...found.slice(0, limit).map((row) => make("tr", {},
        ...cells(row).map((cell, n) => make("td", { class: n < 2 ? "text" : "", title: cell }, cell)))));
      const listed = products.rows.length < products.total ? `, the ${products.rows.length.toLocaleString("en-US")} with most purchases listed` : "";
      said.textContent = found.length
        ? `${Math.min(limit, found.length).toLocaleString("en-US")} of ${(wanted ? found.length : products.total).toLocaleString("en-US")} products${listed}`
        : "No product matches. Search for part of a name or a category.";
      more.hidden = limit >= found.length;
      heads.forEach((head, n) => n === sortBy
        ? head.setAttribute("aria-sort", descending ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
    }
    search.addEventListener("input", () => { limit = 8; update(); });
    more.addEventListener("click", () => { limit += 50; update(); });
    columns.forEach((name, n) => {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", () => { descending = n === sortBy ? !descending : n > 1; sortBy = n; update(); });
      heads.push(make("th", { scope: "col", class: n < 2 ? "text" : "" }, button));
    });
    update();
    return make("section", { class: "card wide", id: "card-table" },
      make("div", { class: "head" }, make("div", {}, make("h2", {}, "Products"), said), search),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Products" },
        make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body)), more);
  }

  function drawTrust(trust) {
    const number = (n) => n.toLocaleString("en-US");
    const verdict = trust.accounted
      ? make("p", { class: "ok bold" }, "✓ Every line accounted for")
      : make("p", { class: "bad bold" }, trust.missing
        ? `✗ ${number(trust.missing)} lines are not accounted for: run eventmint verify`
        : "✗ The laws did not hold at the last run: run eventmint verify");
    const steps = trust.steps.map(({ label, count }, n) => make("tr", {},
      make("td", { class: "text" }, (n ? (n === trust.steps.length - 1 ? "= " : "− ") : "") + label), make("td", {}, number(count))));
    const reasons = trust.reasons.map(({ reason, lines }) => make("tr", {}, make("td", { class: "text" }, reason), make("td", {}, number(lines))));
    const files = `${number(trust.files)} files, of which ${number(trust.unreadable_files)} could not be read`;
    return make("section", { class: "card wide", id: "card-trust" },
      make("div", { class: "head" }, make("div", {}, make("h2", {}, "Can I trust this?"),
        make("p", {}, `All days. ${files}; ${number(trust.laws)} equations checked at the last run`))),
      verdict,
      make("div", { class: "grid" },
        make("table", { "aria-label": "What became of every line" }, make("tbody", {}, ...steps)),
        reasons.length ? make("table", { "aria-label": "Quarantined lines by reason" },
          make("thead", {}, make("tr", {}, make("th", { class: "text", scope: "col" }, "Quarantined because"), make("th", { scope: "col" }, "Lines"))),
          make("tbody", {}, ...reasons)) : make("p", { class: "note" }, "No line is quarantined.")));
  }

  function drawFigures() {
    for (const { plot, card } of shown) {
      const { data, layout } = themed(card.figure);
      Plotly.react(plot, data, { ...layout, autosize: true }, given.config);
      if (card === shown.categories && !plot.dataset.listens) {
        plot.dataset.listens = "yes";
        plot.on("plotly_click", ({ points }) => choose({ category: points[0].data.meta }));
      }
    }
  }

  function draw(view) {
    byId("empty").hidden = !view.empty;
    byId("figures").hidden = Boolean(view.empty);
    if (view.empty) { byId("empty").textContent = view.empty; return; }
    byId("period").textContent = view.period;
    drawTiles(view.tiles);
    shown = CARDS.map(([name, extra]) => drawCard(name, extra, view.cards[name]));
    shown.categories = view.cards.categories;
    byId("cards").replaceChildren(...shown.map(({ section }) => section), drawProducts(view.products), drawTrust(given.trust));
    drawFigures();
  }

  // ---- filters ------------------------------------------------------------------------------------------

  function choose(change) {
    Object.assign(state, change);
    const parts = [["period", state.period], ["category", state.category]].filter(([, value]) => value);
    history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
    show();
  }

  function show() {
    for (const button of byId("periods").children) button.setAttribute("aria-pressed", button.value === state.period);
    byId("category").value = state.category;
    const view = given.views[`${state.period}|${state.category}`];
    if (!state.category) { draw(view); return; }
    // Cards that know no categories are those of all, and say so.
    const every = given.views[`${state.period}|`].cards;
    const cards = Object.fromEntries(Object.entries(every).map(([name, card]) =>
      [name, view.cards[name] ?? { ...card, note: name === "categories" ? "" : "all categories" }]));
    draw({ ...view, cards });
  }

  function readHash() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const period = wanted.get("period"), category = wanted.get("category") ?? "";
    state.period = given.periods.some(({ name }) => name === period) ? period : given.period;
    state.category = given.categories.includes(category) ? category : "";
  }

  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    byId("theme").setAttribute("aria-pressed", theme === "dark");
    if (shown) drawFigures();
  }

  function start() {
    const fresh = byId("fresh");
    if (given.fresh) fresh.append(make("span", { class: "dot", "aria-hidden": "true" }), given.fresh.text);
    setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
    document.documentElement.dataset.ready = "yes";
    if (given.empty) { draw({ empty: given.empty }); return; }
    byId("filters").hidden = false;
    byId("periods").append(...given.periods.map(({ name, label }) => {
      const button = make("button", { type: "button", value: name }, label);
      button.addEventListener("click", () => choose({ period: name }));
      return button;
    }));
    byId("category").append(make("option", { value: "" }, "All"), ...given.categories.map((name) => make("option", { value: name }, name)));
    byId("category").addEventListener("change", (event) => choose({ category: event.target.value }));
    addEventListener("hashchange", () => { readHash(); show(); });
    readHash();
    show();
  }

  document.head.append(make("script", {}, await unpacked("plotly")));
  start();
})();
