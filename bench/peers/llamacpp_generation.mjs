// SPDX-License-Identifier: MIT

// Milliseconds that llama.cpp takes to generate by a GGUF file:
//   node llamacpp_generation.mjs NODE_MODULES MODEL.gguf PROMPT TOKENS ROUNDS THREADS
// Prints one line of JSON. The weights are read into memory, not mapped, so that huge pages can hold them.

import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import { pathToFileURL } from "node:url";

const [modules, modelPath, ...numbers] = process.argv.slice(2);
const [prompt, tokens, rounds, threads] = numbers.map(Number);
const { getLlama } = await import(pathToFileURL(createRequire(`${modules}/`).resolve("node-llama-cpp")));

const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: threads, progressLogs: false });
const model = await llama.loadModel({ modelPath, gpuLayers: 0, useMmap: false });
const context = await model.createContext({ contextSize: prompt + tokens + 1, batchSize: prompt + 1, threads });
const sequence = context.getSequence();
const ids = Array.from({ length: prompt }, (_, i) => (i * 7919) % 50000);
const greedy = { temperature: 0 };

const promptTimes = [], tokenTimes = [];
for (let round = 0; round < rounds; ++round) {
  await sequence.clearHistory();
  let begin = performance.now(), written = 0;
  for await (const _ of sequence.evaluate(ids, greedy)) {
    (written === 0 ? promptTimes : tokenTimes).push(performance.now() - begin);
    if (++written > tokens) break;
    begin = performance.now();
  }
}
const sorted = (times) => times.toSorted((a, b) => a - b);
const median = (times) => sorted(times)[times.length >> 1];
console.log(JSON.stringify({
  prompt_ms: median(promptTimes), prompt_ms_least: sorted(promptTimes)[0],
  token_ms: median(tokenTimes), token_ms_least: sorted(tokenTimes)[0],
}));
process.exit(0);
