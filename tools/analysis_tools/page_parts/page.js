'use strict';
const read = id => JSON.parse(document.getElementById(id).textContent);
const index = read('index');
const bar = document.getElementById('bar');
const hidden = new Set();
let shown = [], current = 0;

// Everything that comes from data is set as text or as an attribute.
function make(tag, fields = {}, ...children) {
  const svg = ['svg', 'rect', 'text'].includes(tag);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(fields)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function drawBox([[x1, y1, x2, y2], stroke, text, dashed], [width]) {
  const place = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
  const look = dashed ? 'dashed' : '';
  const font = width / 20;
  const right = x1 > width * .6;  // a long text would leave the picture
  const anchor = right ? { x: Math.min(width, x2) - 2, 'text-anchor': 'end' } : { x: Math.max(0, x1) + 2 };
  return [
    make('rect', { ...place, class: `under ${look}` }), make('rect', { ...place, stroke, class: look }),
    make('text', { ...anchor, y: Math.max(0, y1) + font, 'font-size': font }, text),
  ];
}

function drawPanel([name, text, boxes, mask, legend, image], picture, size) {
  const frame = make('div', { class: 'picture' }, make('img', { src: image || picture, alt: name }));
  frame.style.aspectRatio = size.join('/');
  if (mask) frame.append(make('img', { src: mask, class: 'mask', alt: '' }));
  frame.append(make('svg', { viewBox: `0 0 ${size.join(' ')}` }, ...boxes.flatMap(box => drawBox(box, size))));
  const caption = make('figcaption', {}, make('b', {}, name), text, ' ');
  for (const [label, color] of legend) {
    const swatch = make('i');
    swatch.style.background = color;
    caption.append(make('span', {}, swatch, label), ' ');
  }
  const figure = make('figure', { 'data-panel': name }, frame, caption);
  figure.hidden = hidden.has(name);
  return figure;
}

function fill(article) {
  const place = article.lastChild;
  if (place.hasChildNodes()) return;
  const [picture, size, panels] = read(article.id.replace('item', 'card'));
  place.append(...panels.map(panel => drawPanel(panel, picture, size)));
  place.style.height = '';
}

function empty(article) {  // a thousand decoded pictures are too many
  const place = article.lastChild;
  if (!place.hasChildNodes()) return;
  place.style.height = place.offsetHeight + 'px';
  place.replaceChildren();
}

const near = new IntersectionObserver(entries => {
  for (const entry of entries) (entry.isIntersecting ? fill : empty)(entry.target);
}, { rootMargin: '1500px' });

const articles = index.cards.map(([title, score, facts], number) => {
  const values = Object.entries({ ...(index.score && { [index.score]: score?.toFixed(2) ?? '–' }), ...facts });
  const list = make('dl', {}, ...values.map(([key, value]) => make('div', {}, make('dt', {}, key), make('dd', {}, value))));
  const article = make('article', { id: `item-${number}` }, make('h2', {}, title), list, make('div', { class: 'panels' }));
  article.addEventListener('click', () => select(shown.indexOf(article), false));
  near.observe(article);
  return article;
});
document.querySelector('main').append(...articles);

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
const tagsOf = (number, name) => index.cards[number][3][name] || [];
for (const name of new Set(index.cards.flatMap(card => Object.keys(card[3])))) {
  const totals = new Map();
  for (const number of articles.keys()) for (const tag of tagsOf(number, name)) totals.set(tag, (totals.get(tag) || 0) + 1);
  const options = [...totals].sort().map(([tag, total]) => make('option', { value: tag }, `${tag} (${total})`));
  const choice = make('select', { name }, make('option', { value: '' }, 'all'), ...options);
  choice.addEventListener('change', () => { filter(); choice.blur(); });
  bar.append(make('label', {}, `${name} `, choice));
  filters.set(name, choice);
}

function filter() {
  shown[current]?.classList.remove('current');
  articles.forEach((article, number) => {
    article.hidden = [...filters].some(([name, { value }]) => value && !tagsOf(number, name).includes(value));
  });
  shown = articles.filter(article => !article.hidden);
  count.textContent = `${shown.length} of ${articles.length}`;
  select(0);
}

const boxes = index.panels.map((name, number) => {
  const box = make('input', { type: 'checkbox', checked: '' });
  box.addEventListener('change', () => {
    hidden[box.checked ? 'delete' : 'add'](name);
    for (const figure of document.querySelectorAll('figure')) figure.hidden = hidden.has(figure.dataset.panel);
    select(current);
  });
  bar.append(make('label', {}, box, ` ${number + 1} ${name}`));
  return box;
});

const keys = {
  'j →': 'next', 'k ←': 'previous', 'Home End': 'first, last', '1 … 9': 'show or hide a picture',
  'o': 'images bare, or with what is drawn on them', 'Ctrl + −': 'larger, smaller', '? h': 'this help', 'Esc': 'close it',
};
const help = make('dialog', {}, ...Object.entries(keys).map(([key, text]) => make('div', {}, make('kbd', {}, key), text)));
const button = make('button', { type: 'button' }, '? help');
button.addEventListener('click', () => help.showModal());
const count = make('output');
bar.append(button, count);
document.body.append(help);

const next = () => select(current + 1), previous = () => select(current - 1), ask = () => help.showModal();
const actions = {
  j: next, ArrowRight: next, k: previous, ArrowLeft: previous, Home: () => select(0), End: () => select(shown.length - 1),
  o: () => document.body.classList.toggle('bare'), '?': ask, h: ask,
};
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === 'SELECT' || help.open) return;
  const action = /^[1-9]$/.test(event.key) ? () => boxes[event.key - 1]?.click() : actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
filter();
