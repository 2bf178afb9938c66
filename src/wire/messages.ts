// All messages of the High Throughput Executor protocol, by link. Each file has the types of one link, a reader that
// checks what came and never throws, and hand-tuned writers.
//
// | link | messages | file |
// |---|---|---|
// | submitter to interchange, standard input | configuration | messages/config.ts |
// | submitter to interchange | tasks | messages/task.ts |
// | submitter to interchange, to Chervil pools | files of code | messages/code.ts |
// | interchange to submitter | results, exceptions; failures made by the interchange | messages/item.ts, failure.ts |
// | submitter and interchange | commands and their answers | messages/command.ts |
// | pool to interchange | probe, registration, heartbeat, drain, results | messages/manager.ts, item.ts |
// | interchange to pool | tasks, heartbeat, drained; to Chervil pools: refusal, cancel | messages/task.ts, manager.ts |
// | interchange to monitoring | how a manager stands; payloads of pools as they are | messages/monitoring.ts, item.ts |
//
// Eras of the protocol and how peers of each are recognised: messages/era.ts.
export * from './messages/code.ts';
export * from './messages/command.ts';
export * from './messages/config.ts';
export * from './messages/era.ts';
export * from './messages/failure.ts';
export * from './messages/item.ts';
export * from './messages/manager.ts';
export * from './messages/monitoring.ts';
export * from './messages/task.ts';
