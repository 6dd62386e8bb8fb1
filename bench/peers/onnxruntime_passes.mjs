// SPDX-License-Identifier: MIT

// Forward passes of an ONNX graph, one for every line on the input, answered with the milliseconds that it took.
// Usage: node onnxruntime_passes.mjs NODE_MODULES MODEL.onnx IMAGES OUTPUT THREADS

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";

const [modules, model, imagesPath, outputPath, threads] = process.argv.slice(2);
const { InferenceSession, Tensor } = createRequire(`${modules}/`)("onnxruntime-node");

const session = await InferenceSession.create(model, {
  executionProviders: ["cpu"],
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  graphOptimizationLevel: "all",
});
const pixels = new Float32Array(new Uint8Array(readFileSync(imagesPath)).buffer);
const images = new Tensor("float32", pixels, [pixels.length / (3 * 224 * 224), 3, 224, 224]);

const { output } = await session.run({ images });
writeFileSync(outputPath, new Uint8Array(output.data.buffer, output.data.byteOffset, output.data.byteLength));

console.log("ready");
for await (const _ of createInterface({ input: process.stdin })) {
  const start = performance.now();
  await session.run({ images });
  console.log(performance.now() - start);
}
