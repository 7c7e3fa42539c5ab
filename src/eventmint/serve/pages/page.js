// Draws the document that Python made of a period: tiles, figures, tables. Every text from data is set as text.
// What holds the documents is a source: the file itself (report.js), or the server (live.js).
"use strict";
const byId = (id) => document.getElementById(id);

async function unpacked(id) {
  if (!("DecompressionStream" in window)) throw new Error("This browser is too old for this page. Open it in one of 2023 or later.");
  const bytes = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function fail(text) {
  byId("error").textContent = text;
  byId("error").hidden = !text;
}

// Plotly takes a second to be read: what needs no chart does not wait for it.
const plotlyIsThere = () => new Promise((resolve) => {
  if ("Plotly" in window) resolve();
  else document.querySelector("script[src*=plotly]").addEventListener("load", resolve);
});

const grouped = (n) => n.toLocaleString("en-US");

// An exact amount as it is told: to the cent, halves up, without a float in between.
function money(text) {
  const [whole, places = ""] = text.split(".");
  const cents = BigInt(whole + places.padEnd(3, "0").slice(0, 2)) + (places.padEnd(3, "0")[2] >= "5" ? 1n : 0n);
  return `$${grouped(cents / 100n)}.${String(cents % 100n).padStart(2, "0")}`;
}

// Keyboard focus stays where it was when what holds it is drawn anew: by the id of its section and its place in it.
function keepingFocus(draw) {
  const reachable = (section) => [...section.querySelectorAll("a, button, select, input, [tabindex]")];
  const section = document.activeElement?.closest("section[id]");
  const place = section ? reachable(section).indexOf(document.activeElement) : -1;
  draw();
  if (place >= 0 && !document.activeElement?.closest("section[id]")) reachable(byId(section.id) ?? section)[place]?.focus({ preventScroll: true });
}

// A view of one category: cards that know no categories are those of all, and say so.
function ofCategory(view, every) {
  if (view.empty) return view;
  const cards = Object.fromEntries(Object.entries(every.cards).map(([name, card]) =>
    [name, view.cards[name] ?? { ...card, note: name === "categories" ? "" : "all categories" }]));
  return { ...view, cards };
}

// source: given (see report.py), view(state), products(view's, state, wanted), and where there is a server
//   mostProducts: rows that it lists; downloads(card, state): labels and addresses;
//   readState(wanted, state), showState(state): what else is chosen.
function showPage(source) {
  const given = source.given;
  const state = { period: given.period, category: "" };
  const CARDS = [
    ["hours", ""], ["funnel", ""], ["products", ""], ["visitors", ""], ["categories", "wide categories"],
  ];
  // What a reader has set stays when the page is drawn anew: tables instead of charts, search and order.
  const asTable = new Set(), wanted = { search: "", sort: 4, descending: true, limit: 8 };
  let shown = null, turn = 0, trouble = false;

  // ---- small helpers ------------------------------------------------------------------------------------

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

  const links = (files, title) => files.map(([label, href]) =>
    make("a", { class: "quiet", href, download: "", "aria-label": `${title}: ${label}` }, label));

  function drawCard(name, extra, card, files = source.downloads?.(name, state) ?? []) {
    const plot = make("div", { class: "plot", role: "img", "aria-label": `${card.title}. ${card.subtitle}` });
    const rows = make("div", { class: "rows", hidden: "", tabindex: "0", role: "region", "aria-label": `${card.title}, as a table` });
    const scroll = make("div", { class: "scroll" }, plot);
    const toggle = make("button", { type: "button", class: "quiet" });
    function switchTo(isTable) {
      if (isTable) asTable.add(name); else asTable.delete(name);
      toggle.textContent = isTable ? "Chart" : "Table";
      toggle.setAttribute("aria-label", `${card.title}: as a ${isTable ? "chart" : "table"}`);
      if (isTable && !rows.firstChild) rows.append(table(card.columns, card.rows, card.title));
      rows.hidden = !isTable;
      scroll.hidden = isTable;
    }
    toggle.addEventListener("click", () => switchTo(!asTable.has(name)));
    switchTo(asTable.has(name));
    const title = make("h2"), subtitle = make("p");
    title.textContent = card.title;
    subtitle.textContent = card.subtitle + (card.note ? ` · ${card.note}` : "");
    const section = make("section", { class: `card ${extra}`, id: `card-${name}` },
      make("div", { class: "head" }, make("div", {}, title, subtitle), ...(card.rows.length ? [toggle, ...links(files, card.title)] : [])), scroll, rows);
    return { section, plot, card };
  }

  // The table of products is made once: who types into its search is not disturbed by what is drawn anew.
  function productsCard() {
    const columns = ["Product", "Category", "Views", "Added to cart", "Purchases", "View to purchase", "Revenue"];
    const search = make("input", { type: "search", placeholder: "Search product or category", "aria-label": "Search product or category" });
    const said = make("p", { role: "status" }), files = make("span");
    const body = make("tbody"), heads = [];
    const more = make("button", { type: "button", class: "quiet" }, "Show more");
    const most = source.mostProducts ?? Infinity;
    let products = null, asked = 0;
    const share = (row) => {
      if (!row[2]) return "-";
      const percent = (100 * row[4]) / row[2];
      return percent > 0 && percent < 0.1 ? "<0.1%" : `${percent.toFixed(1)}%`;
    };
    const cells = (row) => [row[0], row[1], ...row.slice(2, 5).map(grouped), share(row), money(row[5])];
    function tell({ rows, found, total, listed }) {
      body.replaceChildren(...rows.map((row) => make("tr", {},
        ...cells(row).map((cell, n) => make("td", { class: n < 2 ? "text" : "", title: cell }, cell)))));
      const only = listed < total ? `, the ${grouped(listed)} with most purchases listed` : "";
      said.textContent = found
        ? `${grouped(rows.length)} of ${grouped(wanted.search ? found : total)} products${only}`
        : "No product matches. Search for part of a name or a category.";
      more.hidden = rows.length >= Math.min(found, most);
      heads.forEach((head, n) => n === wanted.sort
        ? head.setAttribute("aria-sort", wanted.descending ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
    }
    async function update(change) {
      Object.assign(wanted, change);
      const mine = ++asked;
      try {
        const answer = await source.products(products, state, wanted);
        if (mine === asked) tell(answer);
      } catch (error) {
        if (mine === asked) said.textContent = error.message;
      }
    }
    search.addEventListener("input", () => update({ search: search.value.trim(), limit: 8 }));
    more.addEventListener("click", () => update({ limit: Math.min(wanted.limit + 50, most) }));
    columns.forEach((name, n) => {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", () => update({ sort: n, descending: n === wanted.sort ? !wanted.descending : n > 1 }));
      heads.push(make("th", { scope: "col", class: n < 2 ? "text" : "" }, button));
    });
    const section = make("section", { class: "card wide", id: "card-table" },
      make("div", { class: "head" }, make("div", {}, make("h2", {}, "Products"), said), search, files),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Products" },
        make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body)), more);
    return { section, draw(newest) {
      products = newest;
      files.replaceChildren(...links(source.downloads?.("table", state) ?? [], "Products"));
      return update({});
    } };
  }

  function broken({ missing }) {
    const what = missing ? `${grouped(missing)} lines are not accounted for.` : "A law did not hold at the last run.";
    return `${what} These figures are those of the last run whose books balanced. Find out more: eventmint verify`;
  }

  function drawTrust(trust) {
    const verdict = trust.accounted
      ? make("p", { class: "ok bold" }, "✓ Every line accounted for")
      : make("p", { class: "bad bold" }, `✗ ${broken(trust)}`);
    const steps = trust.steps.map(({ label, count }, n) => make("tr", {},
      make("td", { class: "text" }, (n ? (n === trust.steps.length - 1 ? "= " : "− ") : "") + label), make("td", {}, grouped(count))));
    const reasons = trust.reasons.map(({ reason, lines }) => make("tr", {}, make("td", { class: "text" }, reason), make("td", {}, grouped(lines))));
    const files = `${grouped(trust.files)} files, of which ${grouped(trust.unreadable_files)} could not be read`;
    return make("section", { class: "card wide", id: "card-trust" },
      make("div", { class: "head" }, make("div", {}, make("h2", {}, "Can I trust this?"),
        make("p", {}, `All days. ${files}; ${grouped(trust.laws)} equations checked at the last run`))),
      verdict,
      make("div", { class: "grid" },
        make("table", { "aria-label": "What became of every line" }, make("tbody", {}, ...steps)),
        reasons.length ? make("div", { class: "rows", tabindex: "0", role: "region", "aria-label": "Quarantined lines by reason" }, make("table", { "aria-label": "Quarantined lines by reason" },
          make("thead", {}, make("tr", {}, make("th", { class: "text", scope: "col" }, "Quarantined because"), make("th", { scope: "col" }, "Lines"))),
          make("tbody", {}, ...reasons))) : make("p", { class: "note" }, "No line is quarantined.")));
  }

  function drawFigure({ plot, card }) {
    const { data, layout } = themed(card.figure);
    return Plotly.react(plot, data, { ...layout, autosize: true }, given.config);
  }

  // One after the other, each shown before the next is drawn.
  async function drawFigures() {
    for (const one of shown) {
      const { plot, card } = one;
      if (!plot.isConnected) return;  // drawn anew meanwhile
      await drawFigure(one);
      if (!performance.getEntriesByName("first chart").length) performance.mark("first chart");
      if (card === shown.categories && !plot.dataset.listens) {
        plot.dataset.listens = "yes";
        plot.on("plotly_click", ({ points }) => choose({ category: points[0].data.meta }));
      }
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  function drawFresh(fresh) {
    if (!fresh) return;
    const dot = make("span", { class: fresh.late ? "dot late" : "dot", "aria-hidden": "true" });
    byId("fresh").replaceChildren(dot, fresh.text, ...(fresh.late ? [make("strong", {}, ` · ${fresh.late}`)] : []));
  }

  async function draw(view) {
    const trust = view.trust ?? given.trust;
    fail(trust && !trust.accounted && !given.empty ? broken(trust) : "");
    byId("empty").hidden = !view.empty;
    byId("empty").textContent = view.empty ?? "";
    byId("figures").hidden = Boolean(view.empty);
    byId("period").textContent = view.period ?? "";
    drawFresh(view.fresh ?? given.fresh);
    if (view.empty) return;
    drawTiles(view.tiles);
    const before = shown ?? [];
    shown = CARDS.map(([name, extra]) => drawCard(name, extra, view.cards[name]));
    shown.categories = view.cards.categories;
    keepingFocus(() => {
      byId("cards").replaceChildren(...shown.map(({ section }) => section));
      byId("trust").replaceChildren(drawTrust(trust));
    });
    if (!byId("products").firstChild) byId("products").append(productTable.section);
    const drawing = shown;
    productTable.draw(view.products);
    await plotlyIsThere();
    if (drawing === shown) await drawFigures();
    for (const { plot } of before) Plotly.purge(plot);  // it listens to the window's size else
  }

  const productTable = productsCard();

  // ---- filters ------------------------------------------------------------------------------------------

  function choose(change) {
    Object.assign(state, change);
    const parts = Object.entries(state).filter(([, value]) => value);
    history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
    return show();
  }

  async function show() {
    for (const button of byId("periods").children) button.setAttribute("aria-pressed", button.value === state.period);
    byId("category").value = state.category;
    source.showState?.(state);
    const mine = ++turn;
    byId("content").setAttribute("aria-busy", "true");
    try {
      const view = await source.view(state);
      if (mine === turn) await draw(view);
      trouble = false;
    } catch (error) {
      if (mine === turn) fail(error.message);
      trouble = true;
    }
    if (mine === turn) byId("content").removeAttribute("aria-busy");
    return !trouble;
  }

  function fillFilters() {
    if (!given.periods.some(({ name }) => name === state.period)) state.period = given.period;
    byId("periods").replaceChildren(...given.periods.map(({ name, label }) => {
      const button = make("button", { type: "button", value: name }, label);
      button.addEventListener("click", () => choose({ period: name, from: "", to: "" }));
      return button;
    }));
    const chosen = given.categories.includes(state.category) ? [] : [state.category].filter(Boolean);
    byId("category").replaceChildren(make("option", { value: "" }, "All"),
      ...[...given.categories, ...chosen].map((name) => make("option", { value: name }, name)));
  }

  function readHash() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    const period = wanted.get("period"), category = wanted.get("category") ?? "";
    state.period = given.periods.some(({ name }) => name === period) ? period : given.period;
    state.category = given.categories.includes(category) ? category : "";
    source.readState?.(wanted, state);
  }

  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    byId("theme").setAttribute("aria-pressed", theme === "dark");
    if (shown) plotlyIsThere().then(drawFigures);
    dispatchEvent(new Event("themechange"));
  }

  async function start() {
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault();  // its hash would be taken for what is chosen
      byId("content").focus();
    });
    setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
    if (given.empty) {
      await draw({ empty: given.empty });
    } else {
      byId("filters").hidden = false;
      fillFilters();
      byId("category").addEventListener("change", (event) => choose({ category: event.target.value }));
      addEventListener("hashchange", () => { readHash(); show(); });
      readHash();
      await show();
    }
    document.documentElement.dataset.ready = "yes";
  }

  return { start, show, fillFilters, choose, drawCard, drawFigure, drawFresh, hasTrouble: () => trouble };
}
