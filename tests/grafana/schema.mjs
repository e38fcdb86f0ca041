// Dashboards as TypeScript against the types that Grafana publishes: unknown kinds of panels, unknown keys, values that are none of those allowed.
// Usage: schema.mjs DASHBOARD.json...
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { allPanels, modules } from './packages.mjs';

/** Kinds whose folder has another name. */
const FOLDERS = { dashlist: 'dashboardlist' };

/** Kinds for which nothing is published. */
const WITHOUT_TYPES = ['row', 'alertlist'];

const COMPOSABLE = '@grafana/schema/dist/esm/raw/composable';

// In JSON an enumeration is its plain value. What is typed per kind of panel, or generic, is named again below.
const PREAMBLE = `import type * as S from '@grafana/schema';
type Plain<T> = T extends string ? \`\${T}\` : T extends number ? (number extends T ? number : T | (\`\${T}\` extends \`\${infer N extends number}\` ? N : number))
  : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Defaults<F> = Omit<Plain<S.FieldConfig>, 'custom' | 'thresholds' | 'mappings' | 'color'> & { custom?: Partial<Plain<F>>; thresholds?: any; mappings?: any; color?: any };
type Panel<O, F> = Omit<Plain<S.Panel>, 'options' | 'fieldConfig' | 'datasource' | 'targets' | 'transformations' | 'links'> & {
  links?: Partial<Plain<S.DashboardLink>>[];
  options?: Partial<Plain<O>>; fieldConfig?: { defaults: Defaults<F>; overrides: any[] }; datasource?: any; targets?: any[]; transformations?: any[] };
type Dashboard = Omit<Plain<S.Dashboard>, 'panels' | 'templating' | 'annotations' | 'links'>;
`;

/** Where the types of a kind of panel are, and whether it has settings of its own per field. */
function typesOf(kind) {
  const folder = path.join(modules, COMPOSABLE, (FOLDERS[kind] ?? kind).replaceAll('-', ''), 'panelcfg/x');
  const file = fs.existsSync(folder) && fs.readdirSync(folder).find((name) => name.endsWith('.d.ts'));
  if (!file) return undefined;
  const text = fs.readFileSync(path.join(folder, file), 'utf8');
  return {
    module: `${COMPOSABLE}/${(FOLDERS[kind] ?? kind).replaceAll('-', '')}/panelcfg/x/${file.replace('.d.ts', '')}`,
    fields: /export interface FieldConfig\b/.test(text),
  };
}

function asTypeScript(dashboard) {
  const { panels, templating, annotations, links, ...rest } = dashboard;
  const imports = new Set();
  const lines = [`const dashboard: Dashboard = ${JSON.stringify(rest, null, 1)};`];
  for (const { panels: _inner, ...panel } of allPanels(dashboard)) {
    if (WITHOUT_TYPES.includes(panel.type)) continue;
    const title = (panel.title ?? '').replace(/[^\w ,:%()/-]/g, ' ');
    const types = typesOf(panel.type);
    if (!types) {
      lines.push(`// ${title}`, `const panel${panel.id}: never = ${JSON.stringify(`no kind of panel: ${panel.type}`)};`);
      continue;
    }
    const name = panel.type.replace(/\W/g, '_');
    imports.add(`import type * as ${name} from '${types.module}';`);
    const fields = types.fields ? `${name}.FieldConfig` : '{}';
    lines.push(`// ${title}`, `const panel${panel.id}: Panel<${name}.Options, ${fields}> = ${JSON.stringify(panel, null, 1)};`);
  }
  return [...imports, PREAMBLE, ...lines, 'export {};', ''].join('\n');
}

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'dashboard-schema-'));
try {
  fs.symlinkSync(modules, path.join(work, 'node_modules'));
  const files = process.argv.slice(2).map((file) => {
    const name = `${path.basename(file, '.json')}.ts`;
    fs.writeFileSync(path.join(work, name), asTypeScript(JSON.parse(fs.readFileSync(file, 'utf8'))));
    return name;
  });
  const compilerOptions = { strict: true, noEmit: true, module: 'esnext', moduleResolution: 'bundler', target: 'es2022', skipLibCheck: true, types: [] };
  fs.writeFileSync(path.join(work, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  const { status, stdout, stderr } = spawnSync(path.join(modules, '.bin/tsc'), ['--pretty', 'false', '-p', 'tsconfig.json'], { cwd: work, encoding: 'utf8' });
  // A line number of a generated file helps nobody: the line itself and the panel above it do.
  for (const line of `${stdout}${stderr}`.split('\n').filter(Boolean)) {
    const place = /^([^ (]+)\.ts\((\d+),\d+\): (.*)$/.exec(line);
    if (!place) {
      console.log(`  ${line.trim()}`);
      continue;
    }
    const text = fs.readFileSync(path.join(work, `${place[1]}.ts`), 'utf8').split('\n').slice(0, Number(place[2]));
    const panel = text.findLast((before) => before.startsWith('// '))?.slice(3) ?? 'the dashboard itself';
    console.log(`PROBLEM ${place[1]} | ${panel} | ${text.at(-1).trim()} | ${place[3]}`);
  }
  if (status !== 0) process.exitCode = 1;
  else console.log(`schema: ${files.length} dashboards fit the types of @grafana/schema`);
} finally {
  fs.rmSync(work, { recursive: true });
}
