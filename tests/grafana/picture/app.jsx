// A dashboard as a page: Grafana's grid, frames, theme and components around what Prometheus answered. `window.CAPTURE` holds it.
import React from 'react';
import { createRoot } from 'react-dom/client';
import { ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome, PanelContextProvider } from '@grafana/ui';
import { EventBusSrv } from '@grafana/data';
import { annotationsOf, framesOf, theme, timeRange } from './frames.js';
import { KINDS } from './panels.jsx';

/** Grafana's grid: 24 columns, rows of 30 pixels with 8 between them. */
const COLUMNS = 24, ROW = 38, GAP = 8, HEAD = 48, MARGIN = 12;
const capture = window.CAPTURE;
const width = window.innerWidth - 2 * MARGIN;

/** Rows that are collapsed are shown open: their panels move in, what is below moves down. */
function expanded(panels) {
  const all = [];
  let shift = 0;
  for (const panel of panels) {
    const place = { ...panel.gridPos, y: panel.gridPos.y + shift };
    all.push({ ...panel, gridPos: place, panels: undefined });
    const inner = panel.panels ?? [];
    if (!inner.length) continue;
    const top = Math.min(...inner.map((one) => one.gridPos.y));
    const bottom = Math.max(...inner.map((one) => one.gridPos.y + one.gridPos.h));
    all.push(...inner.map((one) => ({ ...one, gridPos: { ...one.gridPos, y: one.gridPos.y - top + place.y + 1 } })));
    shift += bottom - top;
  }
  return all;
}

const problems = [];

class Guard extends React.Component {
  state = {};
  static getDerivedStateFromError(error) { return { error }; }
  componentDidCatch(error) { problems.push(`${this.props.title}: ${error.stack}`); }
  render() { return this.state.error ? <pre style={{ color: 'red' }}>{String(this.state.error)}</pre> : this.props.children; }
}

const hasData = (frames) => frames.some((frame) => frame.length > 0);

function Body({ panel, frames, width: w, height: h, range, annotations }) {
  const Kind = KINDS[panel.type];
  if (!Kind) {
    problems.push(`${panel.title}: ${panel.type} cannot be drawn`);
    return null;
  }
  if (!hasData(frames)) {
    const style = { height: h, display: 'flex', alignItems: 'center', justifyContent: 'center', color: theme.colors.text.secondary };
    return <div style={style}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  return <Kind panel={panel} frames={frames} width={w} height={h} range={range} capture={capture} annotations={annotations} />;
}

/** Title and choices, in the place and manner of Grafana's own head. */
function Head() {
  const pill = { border: `1px solid ${theme.colors.border.medium}`, borderRadius: 2, padding: '4px 8px', marginRight: 8, color: theme.colors.text.primary };
  const variables = capture.dashboard.templating.list.filter((variable) => !variable.hide && variable.type !== 'constant');
  const value = (variable) => capture.chosen?.[variable.name] ?? (variable.type === 'datasource' ? 'Prometheus' : variable.includeAll ? 'All' : variable.query);
  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);
  return (
    <div style={{ height: HEAD, display: 'flex', alignItems: 'center', fontSize: 12 }}>
      <span style={{ fontSize: 18, fontWeight: 500, marginRight: 20, color: theme.colors.text.primary }}>{capture.dashboard.title}{capture.part && ` / ${capture.part}`}</span>
      {variables.map((variable) => (
        <span key={variable.name} style={pill}><span style={{ color: theme.colors.text.secondary }}>{variable.label ?? variable.name} </span>{value(variable)}</span>
      ))}
      <span style={{ flex: 1 }} />
      <span style={pill}>{clock(capture.from)} to {clock(capture.to)} UTC</span>
    </div>
  );
}

function Panel({ panel, ready, range, annotations }) {
  const { x, y, w, h } = panel.gridPos;
  const column = width / COLUMNS;
  const place = { position: 'absolute', left: x * column, top: HEAD + y * ROW, width: w * column - GAP, height: h * ROW - GAP };
  if (panel.type === 'row') {
    return <div style={{ ...place, color: theme.colors.text.primary, fontWeight: 500, paddingTop: 4 }}>⌄ {panel.title}</div>;
  }
  if (panel.type === 'text') {
    return <div style={place}><PanelChrome title={panel.title} width={place.width} height={place.height}>{() => <div style={{ whiteSpace: 'pre-wrap' }}>{panel.options.content}</div>}</PanelChrome></div>;
  }
  // Grafana leaves room for its menu in the head of a panel; padding is none where a table or a coloured ground reaches the edge.
  const padding = panel.type === 'table' || panel.options?.colorMode?.startsWith('background') ? 'none' : 'md';
  return (
    <div style={place} data-panel={panel.title}>
      <PanelChrome title={panel.title} description={panel.description} width={place.width} height={place.height} padding={padding}>
        {(innerWidth, innerHeight) => (
          <Guard title={panel.title}>
            <Body panel={panel} frames={ready.get(panel.id)} width={innerWidth} height={innerHeight} range={range} annotations={annotations} />
          </Guard>
        )}
      </PanelChrome>
    </div>
  );
}

async function main() {
  const panels = expanded(capture.dashboard.panels);
  const ready = new Map();
  for (const panel of panels) if (panel.targets?.length) ready.set(panel.id, await framesOf(panel, capture));
  await document.fonts.ready;
  const height = HEAD + Math.max(...panels.map((panel) => panel.gridPos.y + panel.gridPos.h)) * ROW;
  const range = timeRange(capture);
  const annotations = annotationsOf(capture);
  const context = { eventBus: new EventBusSrv(), eventsScope: 'picture' };
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={context}>
        <div style={{ position: 'relative', margin: `0 ${MARGIN}px`, width, height }}>
          <Head />
          {panels.map((panel) => <Panel key={panel.id} panel={panel} ready={ready} range={range} annotations={annotations} />)}
        </div>
      </PanelContextProvider>
    </ThemeContext.Provider>,
  );
  await new Promise((done) => setTimeout(done, 3000));
  // Titles that do not fit are cut with dots; that is for people to know who chose them.
  const cut = [...document.querySelectorAll('[data-panel]')].filter((panel) => {
    const title = panel.querySelector('h2');
    return title && title.scrollWidth > title.clientWidth + 1;
  });
  const report = { problems, cut: cut.map((panel) => panel.dataset.panel), height: Math.ceil(height) };
  await fetch('/report', { method: 'POST', body: JSON.stringify(report) });
}

main().catch((error) => fetch('/report', { method: 'POST', body: JSON.stringify({ problems: [error.stack], cut: [] }) }));
