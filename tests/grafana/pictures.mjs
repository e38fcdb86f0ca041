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

/** How high the page is, from the dashboard: a browser without a screen photographs what fits into its window. */
function heightOf({ dashboard }) {
  const ends = (panels) => panels.map((panel) => panel.gridPos.y + panel.gridPos.h);
  const folded = dashboard.panels.filter((panel) => panel.panels?.length).map((row) => {
    const tops = row.panels.map((panel) => panel.gridPos.y);
    return Math.max(...ends(row.panels)) - Math.min(...tops);
  });
  return 48 + (Math.max(...ends(dashboard.panels)) + folded.reduce((sum, rows) => sum + rows, 0)) * 38 + 8;
}

function shrink(file) {
  const UPNG = require('upng-js');
  const image = UPNG.decode(fs.readFileSync(file));
  return Buffer.from(UPNG.encode(UPNG.toRGBA8(image), image.width, image.height, COLOURS));
}

let bad = 0;
let reports = [];
bundle();
fs.mkdirSync(target, { recursive: true });
const server = await serve((report) => reports.push(report));
try {
  for (const file of process.argv.slice(2)) {
    const capture = JSON.parse(fs.readFileSync(file, 'utf8'));
    const { uid } = capture.dashboard;
    // The text may hold the end of a script.
    fs.writeFileSync(path.join(work, 'capture.js'), `window.CAPTURE = ${JSON.stringify(capture).replaceAll('<', '\\u003c')};`);
    reports = [];
    const raw = path.join(work, `${uid}.png`);
    await browse(`http://127.0.0.1:${server.address().port}/`, raw, heightOf(capture));
    const [report] = reports;
    for (const problem of report?.problems ?? ['the page never said that it is done']) {
      bad += 1;
      console.log(`PROBLEM ${uid} | ${problem}`);
    }
    for (const title of report?.cut ?? []) console.log(`NOTE ${uid} | the title does not fit: ${title}`);
    const small = shrink(raw);
    fs.writeFileSync(path.join(target, `${uid}.png`), small);
    console.log(`${uid}.png: ${Math.round(small.length / 1024)} KB`);
  }
} finally {
  server.close();
  fs.rmSync(work, { recursive: true, force: true });
}
if (bad) process.exitCode = 1;
