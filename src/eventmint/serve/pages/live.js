// The dashboard: every view is asked of the server, and again when a run has published.
(async () => {
  const POLL_MS = 10_000;
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

  async function firstState() {
    for (;;) {
      try {
        return await ask("/page/state");
      } catch (error) {
        fail(error.message);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
  }

  const stateComes = firstState();  // asked before anything else is done
  let given;
  try {
    given = JSON.parse(await unpacked("given"));
  } catch (error) {
    fail(error.message);
    return;
  }
  Object.assign(given, await stateComes);
  fail("");

  // ---- days ---------------------------------------------------------------------------------------------

  const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text ?? "") && !Number.isNaN(Date.parse(text));
  const shifted = (day, days) => new Date(Date.parse(day) + days * 86_400_000).toISOString().slice(0, 10);

  // The days of a state, `to` being the day after the last.
  function range(state) {
    if (state.from && state.to) return { from: state.from, to: state.to };
    const { from, to } = given.periods.find(({ name }) => name === state.period) ?? given.periods.at(-1);
    return { from, to };
  }

  const chosen = (state) => ({ ...range(state), category: state.category });
  const SORTS = ["product", "category", "views", "carts", "purchases", "rate", "revenue"];
  // The answer behind each card, of which the rows can be saved.
  const ANSWERS = { hours: "hourly_revenue", funnel: "conversion_funnel", products: "top_products", visitors: "user_activity",
    categories: "category_performance", table: "conversion_funnel" };
  const WITHOUT_CATEGORY = new Set(["hours", "visitors"]);
  const files = (path, values) => [["CSV", "csv"], ["Parquet", "parquet"]].map(([label, format]) =>
    [label, `${path}?${new URLSearchParams(Object.entries({ ...values, format }).filter(([, value]) => value))}`]);

  const source = {
    given,
    mostProducts: 1000,

    async view(state) {
      const view = await ask("/page/view", chosen(state));
      return state.category && !view.empty ? ofCategory(view, await ask("/page/view", range(state))) : view;
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

  // Where the rows of silver cannot be read, as of a lake in S3, nobody can follow journeys.
  const TABS = [["", "Overview"], ...(given.has_journeys ? [["funnel", "Journeys"], ["retention", "Who comes again"]] : [])];
  const JOURNEY = ["steps", "window", "per", "by", "length"];
  const WINDOWS = [["5m", "5 minutes"], ["30m", "30 minutes"], ["2h", "2 hours"], ["1d", "a day"], ["7d", "7 days"], ["30d", "30 days"]];
  let drawnTab = null, turn = 0;

  function tabs() {
    byId("tabs").hidden = TABS.length < 2;
    byId("tabs").append(...TABS.map(([name, label]) => {
      const tab = make("button", { type: "button", role: "tab", id: `tab-${name || "overview"}`, "aria-controls": name ? "journeys" : "figures" }, label);
      tab.addEventListener("click", () => page.choose({ tab: name }));
      return tab;
    }));
    byId("tabs").addEventListener("keydown", (event) => {
      const all = [...byId("tabs").children], here = all.indexOf(document.activeElement);
      const place = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: -1 }[event.key];
      if (place === undefined) return;
      event.preventDefault();
      const next = all.at(place % all.length);
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
    byId("journeys").setAttribute("aria-labelledby", `tab-${state.tab || "overview"}`);
    if (state.tab) showJourney(state);
  }

  function field(label, options, value, onChange) {
    const select = make("select", {}, ...options.map(([name, text]) => make("option", { value: name }, text)));
    select.value = value;
    select.addEventListener("change", () => onChange(select.value));
    return make("label", {}, label, select);
  }

  const stepsOf = (state) => (state.steps ? state.steps.split(",") : given.steps);

  // Another type for a step; one that another step has changes places with it.
  function changedSteps(steps, n, value) {
    const changed = [...steps], other = steps.indexOf(value);
    if (value && other >= 0 && n < steps.length) changed[other] = steps[n];
    changed[n] = value;
    return [...new Set(changed.filter(Boolean))].join(",");
  }

  function funnelForm(state) {
    const steps = stepsOf(state);
    const choices = (n) => [...(steps.length > 2 || n > 1 ? [["", "(none)"]] : []), ...given.event_types.map((name) => [name, name])];
    const most = Math.min(given.event_types.length, steps.length + 1);
    return [
      ...Array.from({ length: most }, (_, n) => field(`Step ${n + 1}`, choices(n), steps[n] ?? "",
        (value) => page.choose({ steps: changedSteps(steps, n, value) }))),
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
    const form = make("section", { class: "filters", id: "asked", "aria-label": "What is counted" }, ...(isFunnel ? funnelForm(state) : retentionForm(state)));
    const draw = (...below) => keepingFocus(() => byId("journeys").replaceChildren(form, ...below));
    draw(...[...byId("journeys").children].slice(1));
    try {
      const card = await ask(`/page/${state.tab}`, values);
      if (mine !== turn) return;
      const before = drawnTab;
      drawnTab = page.drawCard(isFunnel ? "journey" : "retention", "wide", card, files(`/api/v1/${state.tab}`, values));
      draw(drawnTab.section);
      await plotlyIsThere();
      page.drawFigure(drawnTab);
      if (before) Plotly.purge(before.plot);
    } catch (error) {
      if (mine === turn) draw(make("p", { class: "card error", role: "alert" }, error.message));
    }
  }

  // ---- what is new --------------------------------------------------------------------------------------

  async function poll() {
    if (document.hidden) return;
    let state;
    try {
      state = await ask("/page/state");
    } catch (error) {
      fail(error.message);
      lost = true;
      return;
    }
    page.drawFresh(state.fresh);
    const isNew = state.version !== given.version;
    if (!isNew && !lost && !page.hasTrouble()) return;
    if (given.empty || state.empty) {
      if (Boolean(given.empty) !== Boolean(state.empty)) location.reload();
      return;
    }
    Object.assign(given, state, { version: given.version });
    page.fillFilters();
    if (!(await page.show())) return;  // it is tried again with the next poll
    lost = false;
    given.version = state.version;
    if (isNew) byId("news").textContent = "A run has published: the figures are the new ones.";
  }

  let lost = false;
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
