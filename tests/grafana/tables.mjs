// What @grafana/data says of dashboards: units and transformations exist, and every table, transformed on what its queries really returned, has
// the columns that its settings speak of. Usage: tables.mjs CAPTURE.json... (tests/e2e/dashboards/capture.rs writes them)
import fs from 'node:fs';
import path from 'node:path';
import { dataPanels, grafanaData, require } from './packages.mjs';

const { data, transformations } = await grafanaData();
const { firstValueFrom } = require('rxjs');
const units = new Set(data.getValueFormats().flatMap((category) => category.submenu.map((unit) => unit.value)));
let problems = 0;

/** The answer of an instant query as Grafana's data source makes a table of it. */
function tableFrame(target, series, alone) {
  const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  return data.toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: 'time', values: series.map((one) => one.value[0] * 1000) },
      ...labels.map((label) => ({ name: label, type: 'string', values: series.map((one) => one.metric[label] ?? '') })),
      { name: alone ? 'Value' : `Value #${target.refId}`, type: 'number', values: series.map((one) => Number(one.value[1])) },
    ],
  });
}

function settings(panel, problem) {
  const { defaults, overrides } = panel.fieldConfig;
  const named = [defaults.unit, ...overrides.flatMap((rule) => rule.properties).filter((one) => one.id === 'unit').map((one) => one.value)];
  for (const unit of named) {
    // A unit of one's own is a prefix or suffix.
    if (unit && !units.has(unit) && !/^(prefix|suffix|time|si|count|currency|bool):/.test(unit)) problem(`no unit: ${unit}`);
  }
  for (const { id } of panel.transformations ?? []) if (!transformations.has(id)) problem(`no transformation: ${id}`);
}

async function table(panel, answers, problem) {
  const targets = panel.targets.filter((target) => answers[target.refId]);
  const frames = targets.map((target) => tableFrame(target, answers[target.refId], targets.length === 1));
  const result = await firstValueFrom(data.transformDataFrame(panel.transformations ?? [], frames));
  if (result.length !== 1) problem(`${result.length} tables instead of one`);
  const [frame] = result;
  const columns = frame.fields.map((field) => data.getFieldDisplayName(field, frame, result));
  const named = panel.fieldConfig.overrides.filter((rule) => rule.matcher.id === 'byName').map((rule) => rule.matcher.options);
  for (const name of named) if (!columns.includes(name)) problem(`settings for a column that is not there: ${name}`);
  for (const { displayName } of panel.options?.sortBy ?? []) {
    if (!columns.includes(displayName)) problem(`sorted by a column that is not there: ${displayName}`);
  }
  for (const column of columns) if (/^Value( #|$)/.test(column)) problem(`a column that nobody named: ${column}`);
  if (new Set(columns).size !== columns.length) problem(`two columns of one name: ${columns}`);
  const most = Math.max(...targets.map((target) => answers[target.refId].length));
  if (frame.length > most) problem(`${frame.length} rows out of at most ${most}: rows that belong together are apart`);
  return `${columns.join(', ')} | ${frame.length} rows`;
}

for (const file of process.argv.slice(2)) {
  const { dashboard, answers } = JSON.parse(fs.readFileSync(file, 'utf8'));
  for (const panel of dataPanels(dashboard)) {
    const problem = (text) => {
      problems += 1;
      console.log(`PROBLEM ${dashboard.uid} | ${panel.title} | ${text}`);
    };
    settings(panel, problem);
    // A dashboard without answers has its settings looked at.
    const got = answers?.[panel.id];
    if (panel.type === 'table' && got) console.log(`${path.basename(file, '.json')} | ${panel.title} | ${await table(panel, got, problem)}`);
  }
}
console.log(`tables: ${problems} problems`);
if (problems) process.exitCode = 1;
