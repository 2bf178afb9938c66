// The quoting template for commands, as users import it.
export { Command, type Shell, sh, type Word } from '../task/command.ts';
