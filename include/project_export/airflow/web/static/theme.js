// Airflow's own choice of light or dark, before the page is painted; it may change while the page is shown.
(() => {
  const choose = () => {
    let theme = null;
    try { theme = localStorage.getItem("theme"); } catch { /* storage is blocked: the system's choice counts */ }
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  choose();
  addEventListener("storage", choose);
})();
