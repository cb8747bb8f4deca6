// Before anything is drawn: the theme that was chosen here. None: as the system has it.
try {
  const theme = localStorage.getItem("rush-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* no storage: as the system has it */ }
