// The dashboard: every view is asked of the server, and again when a run has published.
(async () => {
  const POLL_MS = 10_000;
  const given = JSON.parse(await unpacked("given"));
  let version = given.version;

  async function ask(path, values = {}) {
    const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== undefined));
    let reply;
    try {
      reply = await fetch(`${path}?${query}`, { headers: { accept: "application/json" } });
    } catch {
      throw new Error("The server does not answer. Start it again: eventmint serve");
    }
    const body = await reply.json().catch(() => ({}));
    if (!reply.ok) throw new Error(body.error ? `${body.error.message} ${body.error.hint}` : "The figures could not be loaded. Run the pipeline, then reload.");
    return body;
  }

  // ---- days ---------------------------------------------------------------------------------------------

  const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text ?? "") && !Number.isNaN(Date.parse(text));
  const shifted = (day, days) => new Date(Date.parse(day) + days * 86_400_000).toISOString().slice(0, 10);

  // The days of a state, `to` being the day after the last.
  function range(state) {
    if (state.from && state.to) return { from: state.from, to: state.to };
    const { from, to } = given.periods.find(({ name }) => name === state.period);
    return { from, to };
  }

  const chosen = (state) => ({ ...range(state), category: state.category });
  const SORTS = ["product", "category", "views", "carts", "purchases", "rate", "revenue"];
  const ANSWERS = { hours: "hourly_revenue", funnel: "conversion_funnel", products: "top_products", visitors: "user_activity",
    categories: "category_performance", table: "conversion_funnel" };
  const WITHOUT_CATEGORY = new Set(["hours", "visitors"]);
  const files = (path, values) => [["CSV", "csv"], ["Parquet", "parquet"]].map(([label, format]) =>
    [label, `${path}?${new URLSearchParams(Object.entries({ ...values, format }).filter(([, value]) => value))}`]);

  const source = {
    given,

    async view(state) {
      const view = await ask("/page/view", chosen(state));
      if (view.empty || !state.category) return view;
      // Cards that know no categories are those of all, and say so.
      const every = await ask("/page/view", range(state));
      const cards = Object.fromEntries(Object.entries(every.cards).map(([name, card]) =>
        [name, view.cards[name] ?? { ...card, note: name === "categories" ? "" : "all categories" }]));
      return { ...view, cards };
    },

    async products(_products, state, { search, sort, descending, limit }) {
      const found = await ask("/api/v1/products", { ...chosen(state), search, sort: SORTS[sort], order: descending ? "desc" : "asc", limit });
      return { ...found, listed: found.total };
    },

    downloads(name, state) {
      return files(`/api/v1/answers/${ANSWERS[name]}`, WITHOUT_CATEGORY.has(name) ? range(state) : chosen(state));
    },

    // The fields show the days of a period, too; `To` is the last day itself.
    showState(state) {
      const { from, to } = range(state);
      if (state.from) for (const button of byId("periods").children) button.setAttribute("aria-pressed", "false");
      byId("first").value = from;
      byId("last").value = shifted(to, -1);
      showTab(state);
    },

    readState(wanted, state) {
      const [from, to] = [wanted.get("from"), wanted.get("to")];
      const isRange = isDay(from) && isDay(to) && from < to;
      Object.assign(state, { from: isRange ? from : "", to: isRange ? to : "" });
      state.tab = TABS.some(([name]) => name === wanted.get("tab")) ? wanted.get("tab") : "";
      for (const name of JOURNEY) state[name] = wanted.get(name) ?? "";
    },
  };

  // ---- tabs ---------------------------------------------------------------------------------------------

  const TABS = [["", "Overview"], ["funnel", "Journeys"], ["retention", "Who comes again"]];
  const JOURNEY = ["steps", "window", "per", "by", "length"];
  const WINDOWS = [["5m", "5 minutes"], ["30m", "30 minutes"], ["2h", "2 hours"], ["1d", "a day"], ["7d", "7 days"], ["30d", "30 days"]];
  let drawnTab = null, turn = 0;

  function tabs() {
    byId("tabs").append(...TABS.map(([name, label]) => {
      const tab = make("button", { type: "button", role: "tab", id: `tab-${name || "overview"}`, "aria-controls": name ? "journeys" : "figures" }, label);
      tab.addEventListener("click", () => page.choose({ tab: name }));
      return tab;
    }));
    byId("tabs").addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const all = [...byId("tabs").children];
      const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
      next.focus();
      next.click();
    });
  }

  function showTab(state) {
    TABS.forEach(([name], n) => {
      const tab = byId("tabs").children[n];
      tab.setAttribute("aria-selected", name === state.tab);
      tab.tabIndex = name === state.tab ? 0 : -1;
    });
    document.documentElement.dataset.tab = state.tab || "overview";
    byId("journeys").hidden = !state.tab;
    if (state.tab) showJourney(state);
  }

  function field(label, options, value, onChange) {
    const select = make("select", {}, ...options.map(([name, text]) => make("option", { value: name }, text)));
    select.value = value;
    select.addEventListener("change", () => onChange(select.value));
    return make("label", {}, label, select);
  }

  const stepsOf = (state) => (state.steps || ["page_view", "add_to_cart", "purchase"].filter((name) => given.event_types.includes(name)).join(",")).split(",");

  function funnelForm(state) {
    const steps = stepsOf(state);
    const choices = (n) => [...(steps.length > 2 || n > 1 ? [["", "(none)"]] : []), ...given.event_types.map((name) => [name, name])];
    const most = Math.min(given.event_types.length, steps.length + 1);
    return [
      ...Array.from({ length: most }, (_, n) => field(`Step ${n + 1}`, choices(n), steps[n] ?? "", (value) => {
        const changed = [...steps];
        changed[n] = value;
        page.choose({ steps: [...new Set(changed.filter(Boolean))].join(",") });
      })),
      field("Within", WINDOWS, state.window || "30m", (value) => page.choose({ window: value })),
      field("Whose journeys", [["session", "of a session"], ["user", "of a user"]], state.per || "session", (value) => page.choose({ per: value })),
      field("All of one", [["", "(any)"], ["product", "product"], ["category", "category"]], state.by, (value) => page.choose({ by: value })),
    ];
  }

  const retentionForm = (state) => [
    field("Length of a period", [["day", "Day"], ["week", "Week"], ["month", "Month"]], state.length || "week", (value) => page.choose({ length: value })),
  ];

  async function showJourney(state) {
    const isFunnel = state.tab === "funnel", mine = ++turn;
    const values = isFunnel
      ? { ...range(state), steps: stepsOf(state).join(","), window: state.window || "30m", per: state.per || "session", by: state.by }
      : { by: state.length || "week" };
    const form = make("div", { class: "filters", role: "group", "aria-label": "What is counted" }, ...(isFunnel ? funnelForm(state) : retentionForm(state)));
    const focused = [...byId("journeys").querySelectorAll("select")].indexOf(document.activeElement);
    byId("journeys").replaceChildren(form, ...[...byId("journeys").children].slice(1));
    if (focused >= 0) byId("journeys").querySelectorAll("select")[focused]?.focus();
    let card;
    try {
      card = await ask(`/page/${state.tab}`, values);
    } catch (error) {
      if (mine === turn) { fail(error.message); byId("journeys").replaceChildren(form); }
      return;
    }
    if (mine !== turn) return;
    drawnTab = page.drawCard(state.tab === "funnel" ? "journey" : "retention", "wide", card, files(`/api/v1/${state.tab}`, values));
    byId("journeys").replaceChildren(form, drawnTab.section);
    page.drawFigure(drawnTab);
  }

  // ---- what is new --------------------------------------------------------------------------------------

  async function poll() {
    if (document.hidden) return;
    try {
      const state = await ask("/page/state");
      page.drawFresh(state.fresh);
      if (state.version === version) return;
      version = state.version;
      if (given.empty !== state.empty || !given.periods.length) { location.reload(); return; }
      Object.assign(given, { periods: state.periods, categories: state.categories });
      await page.show();
      byId("news").textContent = "A run has published: the figures are the new ones.";
    } catch (error) {
      fail(error.message);
    }
  }

  const page = showPage(source);
  if (!given.empty) tabs();
  for (const id of ["first", "last"]) byId(id).addEventListener("change", () => {
    const [first, last] = [byId("first").value, byId("last").value];
    if (!isDay(first) || !isDay(last)) return;
    if (first > last) { fail("The first day is after the last. Choose other dates."); return; }
    page.choose({ from: first, to: shifted(last, 1) });
  });
  addEventListener("themechange", () => { if (drawnTab) page.drawFigure(drawnTab); });
  setInterval(poll, POLL_MS);
  document.addEventListener("visibilitychange", poll);
  await page.start();
})();
