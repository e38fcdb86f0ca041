// What @grafana/ui does not have: gauges, pies, heatmaps and state timelines are drawn here, with Grafana's theme, colours, axes and legends.
import React from 'react';
import { formattedValueToString, getValueFormat, reduceField } from '@grafana/data';
import { AxisPlacement, ScaleDirection, ScaleOrientation, UPlotChart, UPlotConfigBuilder, VizLayout, VizLegend, measureText } from '@grafana/ui';
import { nameOf, theme, timeZone } from './frames.js';

const text = { fontFamily: theme.typography.fontFamily, fill: theme.colors.text.primary };

function arc(center, radius, from, to) {
  const at = (angle) => `${center.x + radius * Math.cos(angle)} ${center.y + radius * Math.sin(angle)}`;
  return `M ${at(from)} A ${radius} ${radius} 0 ${to - from > Math.PI ? 1 : 0} 1 ${at(to)}`;
}

/** An arc from half past seven to half past four, and the thresholds around it. */
export function Gauge({ value, width, height, showName, thresholds }) {
  const [start, end] = [Math.PI * 0.8, Math.PI * 2.2];
  const { display, field } = value;
  const { min = 0, max = 100 } = field;
  const share = Number.isFinite(display.numeric) ? Math.min(1, Math.max(0, (display.numeric - min) / (max - min || 1))) : 0;
  const nameHeight = showName ? 18 : 0;
  const radius = Math.max(10, Math.min(width / 2 - 8, (height - nameHeight - 8) / 1.75));
  const band = Math.max(5, radius * 0.22);
  const center = { x: width / 2, y: radius + 6 };
  const angle = (part) => start + (end - start) * Math.min(1, Math.max(0, part));
  const steps = thresholds?.steps ?? [];
  const shown = formattedValueToString(display);
  const size = Math.min(radius * 0.52, ((radius - band) * 1.5) / Math.max(1, measureText(shown, 1, 500).width));
  return (
    <svg width={width} height={height}>
      <path d={arc(center, radius - band / 2 - 4, start, end)} stroke={theme.colors.background.secondary} strokeWidth={band} fill="none" />
      {share > 0 && <path d={arc(center, radius - band / 2 - 4, start, angle(share))} stroke={display.color} strokeWidth={band} fill="none" />}
      {steps.map((step, at) => {
        const [from, to] = [(step.value - min) / (max - min), ((steps[at + 1]?.value ?? max) - min) / (max - min)];
        if (to <= 0 || from >= 1) return null;
        return <path key={at} d={arc(center, radius - 1, angle(from), angle(to))} stroke={theme.visualization.getColorByName(step.color)} strokeWidth={3} fill="none" />;
      })}
      <text {...text} x={center.x} y={center.y + size * 0.35} textAnchor="middle" style={{ fontSize: size, fontWeight: 500, fill: display.color }}>{shown}</text>
      {showName && <text {...text} x={center.x} y={height - 4} textAnchor="middle" style={{ fontSize: 12 }}>{display.title}</text>}
    </svg>
  );
}

/** Shares of a whole, with Grafana's legend. */
export function Pie({ frames, width, height, options }) {
  const parts = frames.map((frame) => {
    const field = frame.fields[1];
    const value = reduceField({ field, reducers: ['lastNotNull'] }).lastNotNull ?? 0;
    return { name: nameOf(frame, frames), value, display: field.display(value), color: field.display(value).color };
  });
  const whole = parts.reduce((sum, part) => sum + part.value, 0);
  const wanted = options.legend?.values ?? [];
  const items = parts.map((part) => ({
    label: part.name,
    color: part.color,
    yAxis: 1,
    getDisplayValues: () => [
      ...(wanted.includes('value') ? [{ ...part.display, title: 'Value' }] : []),
      ...(wanted.includes('percent') ? [{ numeric: part.value / whole, text: `${Math.round((100 * part.value) / (whole || 1))}%`, title: 'Percent' }] : []),
    ],
  }));
  const placement = options.legend?.placement ?? 'bottom';
  const legend = options.legend?.showLegend === false ? null : (
    <VizLayout.Legend placement={placement}><VizLegend items={items} placement={placement} displayMode={options.legend?.displayMode ?? 'list'} /></VizLayout.Legend>
  );
  return (
    <VizLayout width={width} height={height} legend={legend}>
      {(w, h) => {
        const radius = Math.max(10, Math.min(w, h) / 2 - 6);
        const hole = options.pieType === 'donut' ? radius * 0.6 : 0;
        const center = { x: w / 2, y: h / 2 };
        let angle = -Math.PI / 2;
        const middle = (radius + hole) / 2;
        return (
          <svg width={w} height={h}>
            {parts.map((part) => {
              const from = angle;
              angle += (part.value / (whole || 1)) * Math.PI * 2;
              // A full circle has no beginning and no end, so it stops a hair short.
              const to = Math.min(angle, from + Math.PI * 2 - 1e-4);
              return to > from && <path key={part.name} d={arc(center, middle, from, to)} stroke={part.color} strokeWidth={radius - hole} fill="none" />;
            })}
          </svg>
        );
      }}
    </VizLayout>
  );
}

/** Rows over time on Grafana's axes; `draw` paints them when the axes are there. */
function Rows({ times, range, rows, labels, width, height, draw, legend, everyLabel }) {
  return (
    <VizLayout width={width} height={height} legend={legend}>
      {(w, h) => {
        const builder = new UPlotConfigBuilder(timeZone);
        const ends = [range.from.valueOf(), range.to.valueOf()];
        builder.addScale({ scaleKey: 'x', isTime: true, orientation: ScaleOrientation.Horizontal, direction: ScaleDirection.Right, range: () => ends });
        builder.addScale({ scaleKey: 'y', orientation: ScaleOrientation.Vertical, direction: ScaleDirection.Up, range: () => [0, rows] });
        builder.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone, theme, grid: { show: everyLabel } });
        const every = everyLabel ? 1 : Math.max(1, Math.ceil((rows * 18) / (h - 30)));
        const splits = labels.map((_, at) => at).filter((at) => at % every === 0);
        builder.addAxis({
          scaleKey: 'y', placement: AxisPlacement.Left, theme, grid: { show: false }, ticks: { show: false },
          // A bucket is named by its upper bound.
          splits: () => splits.map((at) => (everyLabel ? at + 0.5 : at + 1)),
          values: () => splits.map((at) => labels[at]),
          size: Math.min(w * 0.45, Math.max(...labels.map((label) => measureText(label, 12).width)) + 16),
        });
        builder.addSeries({ scaleKey: 'y', show: true, theme, pathBuilder: () => null, pointsFilter: () => null, drawStyle: 'line', lineWidth: 0, showPoints: 'never' });
        builder.addHook('draw', (plot) => {
          const { ctx, bbox } = plot;
          ctx.save();
          ctx.beginPath();
          ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
          ctx.clip();
          draw(ctx, (time) => plot.valToPos(time, 'x', true), (row) => plot.valToPos(row, 'y', true));
          ctx.restore();
        });
        return <UPlotChart config={builder} data={[times, times.map(() => null)]} width={w} height={h} />;
      }}
    </VizLayout>
  );
}

/** What colours stand for, from dark to light as Grafana's schemes do on a dark theme. */
function heat(share) {
  const from = [60, 34, 18], middle = [217, 72, 1], to = [255, 234, 190];
  const mix = (a, b, t) => a.map((value, at) => Math.round(value + (b[at] - value) * t));
  const [red, green, blue] = share < 0.5 ? mix(from, middle, share * 2) : mix(middle, to, share * 2 - 1);
  return `rgb(${red},${green},${blue})`;
}

/** Buckets of a classic histogram over time. */
export function Heatmap({ panel, capture, frames, width, height, range }) {
  const bounds = frames.map((frame) => ({ frame, bound: Number(frame.fields[1].labels.le === '+Inf' ? Infinity : frame.fields[1].labels.le) }));
  bounds.sort((one, other) => one.bound - other.bound);
  const times = bounds[0].frame.fields[0].values;
  // Buckets of Prometheus hold everything below their bound: what is between two bounds is their difference.
  const cells = bounds.map(({ frame }, row) => frame.fields[1].values.map((value, at) => {
    if (value === null) return null;
    return Math.max(0, value - (row ? bounds[row - 1].frame.fields[1].values[at] ?? 0 : 0));
  }));
  const most = Math.max(1e-9, ...cells.flat().filter((value) => value !== null));
  const least = panel.options.filterValues?.le ?? 1e-9;
  const format = getValueFormat(panel.options.yAxis?.unit ?? 'short');
  const label = (bound) => (bound === Infinity ? '+Inf' : formattedValueToString(format(bound, bound && bound < 0.001 ? 1 : undefined)));
  const exponent = panel.options.color?.scale === 'exponential' ? panel.options.color.exponent ?? 0.5 : 1;
  // From the lowest bucket that ever held something to the highest: Grafana shows all, we too, since empty ones say something.
  const draw = (ctx, x, y) => {
    cells.forEach((values, row) => values.forEach((value, at) => {
      if (value === null || value <= least) return;
      ctx.fillStyle = heat((value / most) ** exponent);
      const [left, right] = [x(times[at] - capture.step * 1000), x(times[at])];
      const [bottom, top] = [y(row), y(row + 1)];
      ctx.fillRect(left, top, Math.max(1, right - left), Math.max(1, bottom - top - 1));
    }));
  };
  return <Rows times={times} range={range} rows={bounds.length} labels={bounds.map(({ bound }) => label(bound))} width={width} height={height} draw={draw} legend={null} everyLabel={false} />;
}

/** One bar per series that changes its colour with its value. */
export function StateTimeline({ panel, capture, frames: all, width, height, range }) {
  const perPage = panel.options.perPage ?? all.length;
  const frames = all.slice(0, perPage);
  const drawn = frames.map((frame) => {
    const [time, field] = frame.fields;
    const spans = [];
    field.values.forEach((value, at) => {
      if (value === null || value === undefined) return;
      const display = field.display(value);
      const last = spans.at(-1);
      const next = { text: formattedValueToString(display), color: display.color, from: time.values[at], to: time.values[at] + capture.step * 1000 };
      if (last && last.text === next.text && last.to >= next.from) last.to = next.to;
      else spans.push(next);
    });
    return spans;
  }).reverse();
  const names = frames.map((frame) => nameOf(frame, frames)).reverse();
  const rowHeight = panel.options.rowHeight ?? 0.9;
  const opacity = (panel.fieldConfig.defaults.custom?.fillOpacity ?? 70) / 100;
  const draw = (ctx, x, y) => {
    const scale = window.devicePixelRatio;
    ctx.font = `${12 * scale}px ${theme.typography.fontFamily}`;
    ctx.textBaseline = 'middle';
    ctx.textAlign = 'left';
    drawn.forEach((spans, row) => spans.forEach((span) => {
      // What began before the picture does begins with it.
      const [left, right] = [Math.max(x(span.from), x(range.from.valueOf())), Math.min(x(span.to), x(range.to.valueOf()))];
      const [bottom, top] = [y(row + (1 - rowHeight) / 2), y(row + (1 + rowHeight) / 2)];
      ctx.globalAlpha = opacity;
      ctx.fillStyle = span.color;
      ctx.fillRect(left, top, right - left, bottom - top);
      ctx.globalAlpha = 1;
      const fits = ctx.measureText(span.text).width + 8 * scale < right - left && bottom - top > 13 * scale;
      if (panel.options.showValue !== 'never' && fits) {
        ctx.fillStyle = theme.colors.getContrastText(span.color);
        ctx.fillText(span.text, left + 4 * scale, (top + bottom) / 2);
      }
    }));
  };
  const seen = new Map(drawn.flat().map((span) => [span.text, span.color]));
  const pages = Math.ceil(all.length / perPage);
  const legend = panel.options.legend?.showLegend === false ? pages > 1 && (
    <VizLayout.Legend placement="bottom"><div style={{ textAlign: 'center', color: theme.colors.text.secondary }}>1 / {pages}</div></VizLayout.Legend>
  ) : (
    <VizLayout.Legend placement="bottom">
      <VizLegend items={[...seen].map(([name, color]) => ({ label: name, color, yAxis: 1 }))} placement="bottom" displayMode="list" />
    </VizLayout.Legend>
  );
  return <Rows times={frames[0].fields[0].values} range={range} rows={names.length} labels={names} width={width} height={height} draw={draw} legend={legend} everyLabel />;
}
