// What somebody should look at, the most serious first, each with what it means and what to try.
import type { JSX } from 'preact';
import type { Attention, Concern } from '../../src/dashboard/api.ts';
import { useAsk } from '../data.ts';
import { number } from '../format.ts';
import { Icon } from '../parts/icon.tsx';
import { Answered } from '../parts/messages.tsx';
import { PageHead } from '../parts/page-head.tsx';
import { href } from '../router.ts';
import { looks } from '../states.ts';

export function AttentionPage({ run }: { run: string }): JSX.Element {
  const asked = useAsk<Attention>(`runs/${encodeURIComponent(run)}/attention`);
  return (
    <>
      <PageHead title="Attention" tab="Attention" />
      <Answered asked={asked} what="what wants attention" lines={5}>
        {({ concerns, looked }) =>
          concerns.length === 0 ? (
            <div class="empty good">
              <Icon name="done" />
              <h2>Nothing wants attention</h2>
              <div class="empty-text">
                <p>Looked at:</p>
                <ul class="looked">
                  {looked.map((what) => (
                    <li key={what}>
                      <Icon name="done" /> {what}
                    </li>
                  ))}
                </ul>
              </div>
            </div>
          ) : (
            <ul class="concerns">
              {concerns.map((concern, index) => (
                <ConcernCard key={`${concern.kind} ${concern.title} ${index}`} run={run} concern={concern} />
              ))}
            </ul>
          )
        }
      </Answered>
    </>
  );
}

const words = { serious: 'Serious', warning: 'Warning', note: 'Note' } as const;

function ConcernCard({ run, concern }: { run: string; concern: Concern }): JSX.Element {
  const { severity, title, advice, detail, count, tasks, filter } = concern;
  const place = concern.kind === 'block' ? href(['run', run, 'executors']) : undefined;
  return (
    <li class={`card concern ${severity}`}>
      <p class="concern-kind">
        <Icon name="attention" /> {words[severity]}
      </p>
      <h2>{title}</h2>
      <p>{advice}</p>
      {detail !== null && <pre class="detail">{detail}</pre>}
      <div class="concern-links">
        {tasks.map((task) => (
          <a key={task.id} class="chip" href={href(['run', run, 'task', task.id])}>
            <span class={`dot state-${task.state}`} aria-hidden="true" />
            {task.app} #{task.id}
            <span class="unseen">, {looks[task.state].label}</span>
          </a>
        ))}
        {filter !== null && count > tasks.length && (
          <a href={`${href(['run', run, 'tasks'])}?${filter}`}>
            All {number(count)} <Icon name="arrow" />
          </a>
        )}
        {place !== undefined && (
          <a href={place}>
            Executors <Icon name="arrow" />
          </a>
        )}
      </div>
    </li>
  );
}
