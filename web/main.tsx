// The page: finds out what is to be shown, and shows it inside the frame. scripts/build-page.js starts here.
import { render } from 'preact';
import { App } from './app.tsx';
import './app.css';

render(<App />, document.getElementById('app') as HTMLElement);
