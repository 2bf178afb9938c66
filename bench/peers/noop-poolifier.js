// The no-op of poolifier, which wants an instance of its worker class.
import { ThreadWorker } from 'poolifier';

export default new ThreadWorker((n) => n);
