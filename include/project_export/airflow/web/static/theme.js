// What must be known before the page is painted: Airflow's choice of light or dark, which may change while the page is
// shown, and whether Airflow frames it.
(() => {
  document.documentElement.classList.toggle("framed", parent !== window);
  const choose = () => {
    let theme = null;
    try { theme = localStorage.getItem("theme"); } catch { /* storage is blocked: the system's choice counts */ }
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  choose();
  addEventListener("storage", choose);
})();
