// The head of every page of a run: where one is, and what the page is.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';

export function PageHead({
  title,
  tab,
  above,
  children,
}: {
  title: ComponentChildren;
  /** Of the browser's tab. */
  tab: string;
  above?: ComponentChildren;
  children?: ComponentChildren;
}): JSX.Element {
  useEffect(() => {
    document.title = `${tab} – Chervil`;
  }, [tab]);
  return (
    <div class="page-head">
      <div>
        {above !== undefined && <p class="above">{above}</p>}
        <h1>{title}</h1>
      </div>
      {children !== undefined && <div class="page-head-end">{children}</div>}
    </div>
  );
}

/** A framed part of a page. */
export function Card({
  title,
  aside,
  children,
  kind = '',
}: {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
  kind?: string;
}): JSX.Element {
  return (
    <section class={`card ${kind}`} aria-label={title}>
      <div class="card-head">
        <h2>{title}</h2>
        {aside !== undefined && <div class="card-aside">{aside}</div>}
      </div>
      {children}
    </section>
  );
}

/** A number that matters, with what it is. */
export function Figure({
  label,
  value,
  note,
  tone = '',
}: {
  label: string;
  value: ComponentChildren;
  note?: ComponentChildren;
  tone?: string;
}): JSX.Element {
  return (
    <div class={`figure ${tone}`}>
      <dt>{label}</dt>
      <dd>
        <span class="figure-value">{value}</span>
        {note !== undefined && <span class="figure-note">{note}</span>}
      </dd>
    </div>
  );
}
