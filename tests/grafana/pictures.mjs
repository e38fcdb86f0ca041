// Draws dashboards with Grafana's component libraries in a browser without a screen, into docs/pictures/.
// Usage: pictures.mjs CAPTURE.json... (tests/e2e/dashboards/capture.rs writes them); PICTURES_FOLDER names another folder.
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { modules, require } from './packages.mjs';

/** As wide as a laptop's screen is less Grafana's menu. */
const WIDTH = 1400;

/** Colours of the finished pictures: what is drawn has few, and files get small. */
const COLOURS = 256;

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.resolve(process.env.PICTURES_FOLDER ?? path.join(here, '../../docs/pictures'));
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'pictures-'));

function bundle() {
  const { buildSync } = require('esbuild');
  buildSync({
    entryPoints: [path.join(here, 'picture/app.jsx')], bundle: true, outfile: path.join(work, 'app.js'), nodePaths: [modules], format: 'iife', minify: true,
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' }, jsx: 'automatic', logLevel: 'error',
    loader: { '.svg': 'text', '.woff2': 'empty', '.woff': 'empty', '.ttf': 'empty' },
  });
  const fonts = [['Inter', 'inter', 400], ['Inter', 'inter', 500], ['Roboto Mono', 'roboto-mono', 400]];
  const faces = fonts.map(([family, name, weight]) => {
    const file = `${name}-latin-${weight}-normal.woff2`;
    fs.copyFileSync(path.join(modules, '@fontsource', name, 'files', file), path.join(work, file));
    return `@font-face { font-family: '${family}'; font-weight: ${weight}; src: url(/${file}); }`;
  });
  const plot = fs.readFileSync(path.join(modules, 'uplot/dist/uPlot.min.css'), 'utf8');
  fs.writeFileSync(path.join(work, 'index.html'), `<!doctype html><html><head><meta charset="utf8"><style>${faces.join('\n')}\n${plot}
body { margin: 0; background: #111217; }</style><link rel="stylesheet" href="/app.css">
<script>window.process = { env: { NODE_ENV: 'production' } };</script></head>
<body><div id="root" style="font-family: Inter"><b style="font-family: Inter; font-weight: 500"></b></div><script src="/capture.js"></script><script src="/app.js"></script></body></html>`);
}

/** Serves the page and its icons; `reported` is called with what the page says of itself. */
function serve(reported) {
  const server = http.createServer((request, response) => {
    if (request.method === 'POST') {
      let text = '';
      request.on('data', (piece) => { text += piece; });
      request.on('end', () => { reported(JSON.parse(text)); response.end(); });
      return;
    }
    const name = request.url === '/' ? 'index.html' : request.url.slice(1).split('?')[0];
    const icon = name.match(/img\/icons\/[\w/-]+\.svg$/)?.[0];
    const file = icon ? path.join(modules, '@grafana/ui/dist/public', icon) : path.join(work, path.basename(name));
    if (!fs.existsSync(file)) { response.statusCode = 404; response.end(); return; }
    const types = { '.html': 'text/html', '.js': 'text/javascript', '.svg': 'image/svg+xml', '.css': 'text/css' };
    response.setHeader('Content-Type', types[path.extname(file)] ?? 'application/octet-stream');
    response.end(fs.readFileSync(file));
  });
  return new Promise((done) => { server.listen(0, '127.0.0.1', () => done(server)); });
}

function browse(url, file, height) {
  return new Promise((done, failed) => {
    const browser = spawn('chromium', [
      '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', `--user-data-dir=${path.join(work, 'profile')}`,
      `--window-size=${WIDTH},${height}`, '--virtual-time-budget=15000', `--screenshot=${file}`, url,
    ], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    browser.stderr.on('data', (piece) => { said += piece; });
    browser.on('error', failed);
    browser.on('exit', (code) => (code === 0 && fs.existsSync(file) ? done() : failed(new Error(`chromium: ${said}`))));
  });
}

/** A dashboard that is longer than this is drawn row by row: nobody looks at a picture of ten screens. */
const LONGEST = 75;

/** Rows of a dashboard with their panels inside, whether they are collapsed or not; what stands above the first row is a row too. */
function rowsOf({ panels }) {
  const rows = [];
  for (const panel of panels) {
    if (panel.type === 'row' || !rows.length) rows.push({ title: '', panels: [], gridPos: { x: 0, y: 0, w: 24, h: 1 }, type: 'row', id: -1, ...(panel.type === 'row' ? panel : {}), panels: [...(panel.panels ?? [])] });
    if (panel.type !== 'row') rows.at(-1).panels.push(panel);
  }
  return rows;
}

function linesOf(row) {
  const ends = row.panels.map((panel) => panel.gridPos.y + panel.gridPos.h);
  return 1 + Math.max(...ends) - Math.min(...row.panels.map((panel) => panel.gridPos.y));
}

/** The first words of a title, as the name of a file. */
const slug = (title) => title.toLowerCase().split(/[:,]| and /)[0].trim().replace(/[^a-z0-9]+/g, '-');

/** What is drawn: one picture of the whole, or one for each of its rows. */
function picturesOf(capture) {
  const { dashboard } = capture;
  const rows = rowsOf(dashboard);
  const lines = (some) => some.reduce((sum, row) => sum + linesOf(row), 0);
  const picture = (name, some, part) => {
    let top = 0;
    const panels = some.map((row) => {
      const at = { ...row, gridPos: { ...row.gridPos, y: top } };
      // The panels of a row are moved below it when it is opened, see app.jsx.
      top += 1;
      return at;
    });
    return { name, capture: { ...capture, part, dashboard: { ...dashboard, panels } }, height: 48 + lines(some) * 38 + 8 };
  };
  if (lines(rows) <= LONGEST) return [picture(dashboard.uid, rows, '')];
  return rows.map((row) => picture(`${dashboard.uid}-${slug(row.title)}`, [row], row.title));
}

function shrink(file) {
  const UPNG = require('upng-js');
  const image = UPNG.decode(fs.readFileSync(file));
  return Buffer.from(UPNG.encode(UPNG.toRGBA8(image), image.width, image.height, COLOURS));
}

let bad = 0;
let reports = [];

async function draw({ name, capture, height }) {
  // The text may hold the end of a script.
  fs.writeFileSync(path.join(work, 'capture.js'), `window.CAPTURE = ${JSON.stringify(capture).replaceAll('<', '\\u003c')};`);
  reports = [];
  const raw = path.join(work, `${name}.png`);
  await browse(`http://127.0.0.1:${server.address().port}/`, raw, height);
  const [report] = reports;
  for (const problem of report?.problems ?? ['the page never said that it is done']) {
    bad += 1;
    console.log(`PROBLEM ${name} | ${problem}`);
  }
  for (const title of report?.cut ?? []) console.log(`NOTE ${name} | the title does not fit: ${title}`);
  const small = shrink(raw);
  fs.writeFileSync(path.join(target, `${name}.png`), small);
  console.log(`${name}.png: ${Math.round(small.length / 1024)} KB`);
}

bundle();
fs.mkdirSync(target, { recursive: true });
const server = await serve((report) => reports.push(report));
try {
  for (const file of process.argv.slice(2)) {
    const capture = JSON.parse(fs.readFileSync(file, 'utf8'));
    for (const picture of picturesOf(capture)) await draw(picture);
  }
} finally {
  server.close();
  fs.rmSync(work, { recursive: true, force: true });
}
if (bad) process.exitCode = 1;
