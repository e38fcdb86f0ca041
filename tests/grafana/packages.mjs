// Where the packages are that tests/servers/install.sh --grafana installed: their folder is named by GRAFANA_PACKAGES.
import { createRequire } from 'node:module';
import path from 'node:path';

export const folder = path.join(process.env.GRAFANA_PACKAGES ?? '.servers/grafana', 'node');
export const modules = path.resolve(folder, 'node_modules');
export const require = createRequire(path.resolve(folder, 'package.json'));

/** Panels that show no data of a query. */
const WITHOUT_DATA = ['row', 'text', 'dashlist', 'alertlist'];

/** All panels of a dashboard, those inside of collapsed rows too. */
export const allPanels = (dashboard) => dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);

/** Its panels that show data. */
export const dataPanels = (dashboard) => allPanels(dashboard).filter((panel) => !WITHOUT_DATA.includes(panel.type));

/** @grafana/data in a pretended browser, with all of its transformations registered. */
export async function grafanaData() {
  const { JSDOM } = require('jsdom');
  const { window } = new JSDOM('<!doctype html>', { url: 'http://localhost/' });
  for (const name of ['window', 'document', 'localStorage', 'HTMLElement', 'DOMParser']) {
    globalThis[name] = name === 'window' ? window : window[name];
  }
  Object.defineProperty(globalThis, 'navigator', { value: window.navigator, configurable: true });
  const data = require('@grafana/data');
  const known = Object.values(data.standardTransformers).filter((transformer) => transformer?.id);
  const byId = new Map(known.map((transformer) => [transformer.id, transformer]));
  data.standardTransformersRegistry.setInit(() =>
    [...byId.values()].map((transformer) => ({
      id: transformer.id,
      name: transformer.name,
      transformation: () => Promise.resolve(transformer),
    })),
  );
  return { data, transformations: new Set(byId.keys()) };
}
