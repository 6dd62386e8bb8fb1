// SPDX-License-Identifier: MIT

// Compares the ids of `tokenize` with those of Hugging Face's tokenizers and OpenAI's tiktoken on whole files, and says
// how many bytes those two encode in a second of the processor; with crate_bench, also how many this library does, in the
// same run. Both packages come from npm, in the folder where this runs:
//   npm install tokenizers tiktoken
//   node compare_with_npm.mjs FOLDER_OF_FIXTURES TOKENIZE CRATE_BENCH|- TEXT...

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';

process.env.RAYON_NUM_THREADS = '1';
const require = createRequire(`${process.cwd()}/`);
const huggingFace = require('tokenizers'), { Tiktoken } = require('tiktoken');
const [fixtures, program, bench, ...files] = process.argv.slice(2);
const gpt2Folder = `${fixtures}/gpt2-bpe`, bertFolder = `${fixtures}/bert-wordpiece`;

async function tokenisers() {
  const bpe = await huggingFace.BPE.fromFile(`${gpt2Folder}/encoder.json`, `${gpt2Folder}/vocab.bpe`);
  const gpt2 = new huggingFace.Tokenizer(bpe);
  gpt2.setPreTokenizer(huggingFace.byteLevelPreTokenizer(false));
  const pieces = await huggingFace.WordPiece.fromFile(`${bertFolder}/vocab.txt`, { unkToken: '[UNK]' });
  const bert = (options) => {
    const tokeniser = new huggingFace.Tokenizer(pieces);
    tokeniser.setNormalizer(huggingFace.bertNormalizer(options));
    tokeniser.setPreTokenizer(huggingFace.bertPreTokenizer());
    return tokeniser;
  };
  const ranks = require('tiktoken/encoders/gpt2.json');
  const tiktoken = new Tiktoken(ranks.bpe_ranks, ranks.special_tokens, ranks.pat_str);
  const encode = (tokeniser) => async (text) =>
    (await tokeniser.encode(text, null, { addSpecialTokens: false })).getIds();
  return [
    ['tokenizers', 'gpt2', gpt2Folder, encode(gpt2)],
    ['tiktoken', 'gpt2', gpt2Folder, async (text) => Array.from(tiktoken.encode_ordinary(text))],
    ['tokenizers', 'bert', bertFolder, encode(bert({}))],
    ['tokenizers', 'bert-cased', bertFolder, encode(bert({ lowercase: false, stripAccents: false }))],
  ];
}

function encodedHere(kind, folder, file) {
  const options = ['--tokeniser', kind, '--vocabulary', folder, '--input', file];
  return execFileSync(program, options, { maxBuffer: 1 << 30 }).toString().trim();
}

let different = 0;
for (const file of files) {
  const text = fs.readFileSync(file, 'utf8'), megabytes = fs.statSync(file).size / 1e6;
  for (const [name, kind, folder, encode] of await tokenisers()) {
    const start = process.cpuUsage();
    const ids = await encode(text);
    const used = process.cpuUsage(start), seconds = (used.user + used.system) / 1e6;
    const equal = ids.join(' ') === encodedHere(kind, folder, file);
    different += equal ? 0 : 1;
    console.log(`${file}  ${kind}: ${ids.length} ids, ${equal ? 'equal' : 'DIFFERENT'}; ` +
                `${name} ${(megabytes / seconds).toFixed(2)} MB/s`);
  }
  if (bench !== '-') {
    const options = ['--benchmark_filter=^encode/(gpt2|bert|bert_cased)$', '--benchmark_format=json'];
    const out = execFileSync(bench, options, { env: { ...process.env, CRATE_BENCH_TEXT: file }, stdio: ['ignore', 'pipe', 'ignore'] });
    for (const { name, bytes_per_second } of JSON.parse(out).benchmarks)
      console.log(`${file}  ${name}: this library ${(bytes_per_second / 1e6).toFixed(1)} MB/s`);
  }
}
process.exit(different > 0 ? 1 : 0);
