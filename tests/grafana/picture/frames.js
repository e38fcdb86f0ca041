// From answers of Prometheus to what Grafana's panels draw, by Grafana's own functions: names, transformations, settings of fields.
import {
  applyFieldOverrides, createTheme, dateTime, FieldConfigOptionsRegistry, FieldType, getFieldDisplayName, standardTransformers,
  standardTransformersRegistry, toDataFrame, transformDataFrame,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';

export const theme = createTheme({ colors: { mode: 'dark' } });
export const timeZone = 'utc';

const transformers = Object.values(standardTransformers).filter((transformer) => transformer?.id);
standardTransformersRegistry.setInit(() =>
  [...new Map(transformers.map((transformer) => [transformer.id, transformer])).values()].map((transformer) => ({
    id: transformer.id,
    name: transformer.name,
    transformation: () => Promise.resolve(transformer),
  })),
);

/** The span that is shown, as Grafana passes it around. */
export function timeRange({ from, to }) {
  const ends = { from: dateTime(from * 1000), to: dateTime(to * 1000) };
  return { ...ends, raw: ends };
}

/** What the data source for Prometheus calls a series. */
function legend(target, metric) {
  if (target.legendFormat && target.legendFormat !== '__auto') {
    return target.legendFormat.replace(/{{\s*(\w+)\s*}}/g, (_, label) => metric[label] ?? '').trim();
  }
  const { __name__: name = '', ...labels } = metric;
  return `${name}{${Object.entries(labels).map(([label, value]) => `${label}="${value}"`).join(', ')}}`;
}

/** Samples on the steps of the query; a step without a sample is a gap, as Grafana's data source makes it. */
function onSteps(samples, { from, to, step }) {
  const byTime = new Map(samples.map(([time, value]) => [time, Number(value)]));
  const times = [];
  for (let time = from; time <= to; time += step) times.push(time);
  return { times: times.map((time) => time * 1000), values: times.map((time) => byTime.get(time) ?? null) };
}

function seriesFrames(panel, capture) {
  return panel.targets.flatMap((target) =>
    (capture.answers[panel.id]?.[target.refId] ?? []).map((series) => {
      const samples = series.values ?? [series.value];
      const { times, values } = series.values
        ? onSteps(samples, capture)
        : { times: samples.map(([time]) => time * 1000), values: samples.map(([, value]) => Number(value)) };
      return toDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, config: {}, values: times },
          { name: 'Value', type: FieldType.number, labels: series.metric, config: { displayNameFromDS: legend(target, series.metric) }, values },
        ],
      });
    }),
  );
}

function tableFrames(panel, capture) {
  return panel.targets.map((target) => {
    const series = capture.answers[panel.id]?.[target.refId] ?? [];
    const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
    return toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, config: {}, values: series.map((one) => one.value[0] * 1000) },
        ...labels.map((label) => ({ name: label, type: FieldType.string, config: {}, values: series.map((one) => one.metric[label] ?? '') })),
        {
          name: panel.targets.length > 1 ? `Value #${target.refId}` : 'Value',
          type: FieldType.number,
          config: {},
          values: series.map((one) => Number(one.value[1])),
        },
      ],
    });
  });
}

const threshold = (steps) => ({ ...steps, steps: steps.steps.map((step) => ({ ...step, value: step.value ?? -Infinity })) });

/** Every setting that the panel speaks of, by its path: Grafana has a list per kind of panel, inside of its server. */
function registry(panel) {
  const { defaults, overrides } = panel.fieldConfig;
  const standard = Object.keys(defaults).filter((name) => name !== 'custom');
  const own = Object.keys(defaults.custom ?? {}).map((name) => `custom.${name}`);
  const overridden = overrides.flatMap((rule) => rule.properties.map((property) => property.id));
  const ids = [...new Set([...standard, ...own, ...overridden])];
  return new FieldConfigOptionsRegistry(() =>
    ids.map((id) => ({
      id,
      name: id,
      path: id.replace(/^custom\./, ''),
      isCustom: id.startsWith('custom.'),
      process: (value) => (id === 'thresholds' && value ? threshold(value) : value),
      shouldApply: () => true,
      override: () => null,
      editor: () => null,
      settings: {},
    })),
  );
}

/** The frames of a panel, transformed and with its settings. */
export async function framesOf(panel, capture) {
  const raw = panel.type === 'table' ? tableFrames(panel, capture) : seriesFrames(panel, capture);
  const transformed = await firstValueFrom(transformDataFrame(panel.transformations ?? [], raw));
  const { defaults, overrides } = panel.fieldConfig;
  const fieldConfig = { defaults: { ...defaults, ...(defaults.thresholds && { thresholds: threshold(defaults.thresholds) }) }, overrides };
  const frames = applyFieldOverrides({
    data: transformed,
    fieldConfig,
    fieldConfigRegistry: registry(panel),
    replaceVariables: (text) => text,
    theme,
    timeZone,
  });
  for (const frame of frames) {
    for (const field of frame.fields) {
      // Links would want a router, and a picture has nothing to click on.
      field.getLinks = () => [];
      field.state.displayName = getFieldDisplayName(field, frame, frames);
    }
  }
  return frames;
}

/** The name of the field with the values of a series. */
export const nameOf = (frame, frames) => getFieldDisplayName(frame.fields[1], frame, frames);

/** Spans in which an annotation holds: {from, to} in milliseconds, with its colour. */
export function annotationsOf({ dashboard, answers, from, to, step }) {
  return (dashboard.annotations?.list ?? []).filter((one) => one.enable && one.expr).flatMap((one) =>
    (answers[`annotation ${one.name}`]?.A ?? []).flatMap((series) => {
      const color = theme.visualization.getColorByName(one.iconColor ?? 'red');
      if (one.useValueForTime) {
        const moments = [...new Set(series.values.map(([, value]) => Number(value)))];
        return moments.filter((at) => at >= from * 1000 && at <= to * 1000).map((at) => ({ from: at, to: at, color }));
      }
      const spans = [];
      for (const [time] of series.values) {
        const last = spans.at(-1);
        if (last && time - last.end <= step) last.end = time;
        else spans.push({ start: time, end: time });
      }
      return spans.map((span) => ({ from: span.start * 1000, to: span.end * 1000, color }));
    }),
  );
}
