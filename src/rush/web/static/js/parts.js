/** All interactive parts of the pages, and the small ones. */

import "./rush-timeline.js";
import "./rush-graph.js";
import "./rush-log.js";
import "./rush-grid.js";
import "./rush-chart.js";
import "./rush-small.js";
