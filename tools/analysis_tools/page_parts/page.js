'use strict';
const read = id => JSON.parse(document.getElementById(id).textContent);
const index = read('index');
const hidden = new Set();
const bar = document.getElementById('bar');
const main = document.querySelector('main');
let shown = [], current = 0;

// Everything that comes from data is set as text or as an attribute.
function make(tag, fields = {}, ...children) {
  const svg = ['svg', 'rect', 'text', 'title'].includes(tag);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(fields)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function drawBox(box, size) {
  const [x1, y1, x2, y2] = box.xyxy;
  const place = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
  const font = Math.max(...size) / 22;
  const text = make('text', { x: Math.max(2, x1 + 2), y: Math.max(0, y1) + font, 'font-size': font }, box.text);
  const rect = make('rect', { ...place, stroke: box.color, class: box.dashed ? 'dashed' : '' });
  return [make('rect', { ...place, class: box.dashed ? 'under dashed' : 'under' }), rect, text];
}

function drawPanel(panel, card) {
  const size = card.size;
  const picture = make('div', { class: 'picture' }, make('img', { src: panel.image || card.image, alt: panel.name }));
  picture.style.aspectRatio = size.join('/');
  if (panel.mask) picture.append(make('img', { src: panel.mask, class: 'mask', alt: '' }));
  const svg = make('svg', { viewBox: `0 0 ${size.join(' ')}` });
  for (const box of panel.boxes) svg.append(...drawBox(box, size));
  picture.append(svg);
  const caption = make('figcaption', {}, make('b', {}, panel.name), panel.text, ' ');
  for (const [name, color] of panel.legend) {
    const swatch = make('i');
    swatch.style.background = color;
    caption.append(make('span', {}, swatch, name), ' ');
  }
  const figure = make('figure', { 'data-panel': panel.name }, picture, caption);
  figure.hidden = hidden.has(panel.name);
  return figure;
}

function fill(article) {
  const panels = article.lastChild;
  if (panels.hasChildNodes()) return;
  const card = read(article.id.replace('item', 'card'));
  panels.append(...card.panels.map(panel => drawPanel(panel, card)));
  panels.style.height = '';
}

function empty(article) {  // a thousand decoded pictures are too many
  if (!article.lastChild.hasChildNodes()) return;
  article.lastChild.style.height = article.lastChild.offsetHeight + 'px';
  article.lastChild.replaceChildren();
}

const near = new IntersectionObserver(entries => {
  for (const entry of entries) (entry.isIntersecting ? fill : empty)(entry.target);
}, { rootMargin: '1500px' });

const articles = index.cards.map((card, number) => {
  const facts = Object.entries({ ...(index.score && { [index.score]: card.score.toFixed(2) }), ...card.facts });
  const list = make('dl', {}, ...facts.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
  const article = make('article', { id: `item-${number}` }, make('h2', {}, card.title), list, make('div', { class: 'panels' }));
  article.addEventListener('click', () => select(shown.indexOf(article), false));
  near.observe(article);
  return article;
});
main.append(...articles);

function select(number, scroll = true) {
  if (!shown.length) return;
  shown[current]?.classList.remove('current');
  current = Math.min(Math.max(number, 0), shown.length - 1);
  shown[current].classList.add('current');
  if (!scroll) return;
  fill(shown[current]);
  const top = shown[current].getBoundingClientRect().top - document.querySelector('header').offsetHeight;
  scrollBy(0, current ? top : -scrollY);
}

const filters = new Map();
const count = make('output', {});
for (const name of new Set(index.cards.flatMap(card => Object.keys(card.tags)))) {
  const totals = new Map();
  for (const card of index.cards) for (const tag of card.tags[name] || []) totals.set(tag, (totals.get(tag) || 0) + 1);
  const options = [...totals].sort().map(([tag, total]) => make('option', { value: tag }, `${tag} (${total})`));
  filters.set(name, make('select', { name }, make('option', { value: '' }, 'all'), ...options));
  bar.append(make('label', {}, `${name} `, filters.get(name)));
}

function filter() {
  shown[current]?.classList.remove('current');
  shown = articles.filter((article, number) => {
    const tags = index.cards[number].tags;
    article.hidden = [...filters].some(([name, { value }]) => value && !(tags[name] || []).includes(value));
    return !article.hidden;
  });
  count.textContent = `${shown.length} of ${articles.length}`;
  select(0);
}

const boxes = index.panels.map((name, number) => {
  const box = make('input', { type: 'checkbox', checked: '' });
  box.addEventListener('change', () => {
    hidden[box.checked ? 'delete' : 'add'](name);
    for (const figure of document.querySelectorAll('figure')) figure.hidden = hidden.has(figure.dataset.panel);
  });
  bar.append(make('label', {}, box, ` ${number + 1} ${name}`));
  return box;
});
const help = make('dialog', { id: 'help' });
const keys = {
  'j →': 'next', 'k ←': 'previous', 'Home End': 'first, last', '1 … 9': 'show or hide a picture',
  'o': 'images bare, or with what is drawn on them', '+ −': 'larger, smaller', '? h': 'this help', 'Esc': 'close it',
};
for (const [key, text] of Object.entries(keys)) help.append(make('div', {}, make('kbd', {}, key), text));
const button = make('button', { type: 'button' }, '? help');
button.addEventListener('click', () => help.showModal());
bar.append(button, count);
document.body.append(help);
bar.addEventListener('submit', event => event.preventDefault());
for (const choice of filters.values()) choice.addEventListener('change', () => { filter(); choice.blur(); });

function resize(factor) {
  const size = parseFloat(getComputedStyle(document.documentElement).getPropertyValue('--size'));
  document.documentElement.style.setProperty('--size', `${Math.min(2000, Math.max(100, size * factor))}px`);
  select(current);
}

const actions = {
  j: () => select(current + 1), ArrowRight: () => select(current + 1),
  k: () => select(current - 1), ArrowLeft: () => select(current - 1),
  Home: () => select(0), End: () => select(shown.length - 1),
  o: () => document.body.classList.toggle('bare'),
  '+': () => resize(1.25), '=': () => resize(1.25), '-': () => resize(.8),
  '?': () => help.showModal(), h: () => help.showModal(),
};
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === 'SELECT' || help.open) return;
  const action = /^[1-9]$/.test(event.key) ? () => boxes[event.key - 1]?.click() : actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
filter();
