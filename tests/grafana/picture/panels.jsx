// One component per kind of panel, put together as Grafana's own panels do it.
import React from 'react';
import { getDisplayValueAlignmentFactors, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { Gauge, Heatmap, Pie, StateTimeline } from './drawn.jsx';
import { theme, timeZone } from './frames.js';

function displayValues(panel, frames, sparkline) {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options.reduceOptions ?? { calcs: ['lastNotNull'], fields: '', values: false },
    replaceVariables: (text) => text,
    theme,
    data: frames,
    sparkline,
    timeZone,
  });
}

function Repeated({ panel, frames, width, height, sparkline, children, ...rest }) {
  return (
    <VizRepeater getValues={() => displayValues(panel, frames, sparkline)} getAlignmentFactors={getDisplayValueAlignmentFactors} source={frames}
      renderCounter={0} width={width} height={height} itemSpacing={3} orientation={panel.options.orientation ?? VizOrientation.Auto} renderValue={children} {...rest} />
  );
}

const Stat = ({ panel, frames, width, height, range }) => (
  <Repeated panel={panel} frames={frames} width={width} height={height} autoGrid sparkline={panel.options.graphMode !== 'none'}>
    {({ value, alignmentFactors, width: w, height: h, count }) => (
      <BigValue value={value.display} count={count} width={w} height={h} theme={theme} alignmentFactors={alignmentFactors} text={panel.options.text}
        sparkline={value.sparkline && { ...value.sparkline, timeRange: range }} colorMode={panel.options.colorMode} graphMode={panel.options.graphMode}
        justifyMode={panel.options.justifyMode} textMode={panel.options.textMode} wideLayout={panel.options.wideLayout} />
    )}
  </Repeated>
);

const Bars = ({ panel, frames, width, height }) => (
  <Repeated panel={panel} frames={frames} width={width} height={height} itemSpacing={8} minVizHeight={panel.options.minVizHeight ?? 16}
    minVizWidth={panel.options.minVizWidth ?? 8} maxVizHeight={panel.options.maxVizHeight ?? 300}>
    {({ value, alignmentFactors, width: w, height: h, orientation }) => (
      <BarGauge value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)} width={w} height={h} theme={theme}
        alignmentFactors={alignmentFactors} orientation={orientation} displayMode={panel.options.displayMode} text={panel.options.text}
        showUnfilled={panel.options.showUnfilled} valueDisplayMode={panel.options.valueMode} namePlacement={panel.options.namePlacement} />
    )}
  </Repeated>
);

const Gauges = ({ panel, frames, width, height }) => (
  <Repeated panel={panel} frames={frames} width={width} height={height} autoGrid>
    {({ value, width: w, height: h, count }) => <Gauge value={value} width={w} height={h} showName={count > 1} thresholds={value.field.thresholds} />}
  </Repeated>
);

/** Annotations as Grafana marks them: dashed lines where they begin and end, and a light ground between. */
function mark(builder, annotations) {
  builder.addHook('draw', (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const { from, to, color } of annotations) {
      const [left, right] = [plot.valToPos(from, 'x', true), plot.valToPos(to, 'x', true)];
      ctx.strokeStyle = color;
      ctx.setLineDash([5, 5]);
      ctx.lineWidth = 1;
      for (const x of new Set([left, right])) {
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      if (right > left) {
        ctx.globalAlpha = 0.06;
        ctx.fillStyle = color;
        ctx.fillRect(left, bbox.top, right - left, bbox.height);
        ctx.globalAlpha = 1;
      }
    }
    ctx.restore();
  });
}

const marked = new WeakSet();

const Series = ({ panel, frames, width, height, range, annotations }) => (
  <TimeSeries frames={frames} width={width} height={height} timeRange={range} timeZone={timeZone} legend={panel.options.legend} options={{}}>
    {(builder) => {
      if (!marked.has(builder)) {
        marked.add(builder);
        mark(builder, annotations);
      }
      return null;
    }}
  </TimeSeries>
);

const Table = ({ panel, frames, width, height, range }) => (
  <TableNG data={frames[0]} width={width} height={height} fieldConfig={panel.fieldConfig} timeRange={range} getActions={() => []} structureRev={1}
    noHeader={panel.options.showHeader === false} showTypeIcons={false} cellHeight={panel.options.cellHeight} sortBy={panel.options.sortBy} sortByBehavior="initial"
    noValue={panel.fieldConfig.defaults.noValue} enableVirtualization={false} />
);

/** Kinds of panels, and whether Grafana's own component draws them. */
export const KINDS = {
  stat: Stat, timeseries: Series, table: Table, bargauge: Bars, gauge: Gauges, heatmap: Heatmap, 'state-timeline': StateTimeline,
  piechart: ({ panel, ...rest }) => <Pie options={panel.options} {...rest} />,
};
