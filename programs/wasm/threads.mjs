// node threads.mjs MODULE: runs `work` of the module in two workers on one memory, then `check`.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const WORKERS = 2;
const STACK = 65536;

if (isMainThread) {
    const module = new WebAssembly.Module(readFileSync(process.argv[2]));
    const memory = new WebAssembly.Memory({ initial: 32, maximum: 256, shared: true });
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    const failures = [];
    await Promise.all(
        Array.from({ length: WORKERS }, (_, number) => {
            const worker = new Worker(fileURLToPath(import.meta.url), {
                workerData: { module, memory, number, stack: exports.stack(number) },
            });
            worker.on("error", (error) => {
                failures.push(error);
                // The other one waits for it.
                console.log(`worker ${number}: ${error.stack}\ntest result: FAILED.`);
                process.exit(1);
            });
            return new Promise((resolve) => worker.on("exit", resolve));
        }),
    );
    exports.check();
    console.log(`test result: ok. ${WORKERS} workers had a value each, and destroyed it`);
} else {
    const { module, memory, number, stack } = workerData;
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    // Thread-local memory at the lower end, the stack from the upper end downward.
    exports.__wasm_init_tls(stack);
    if (exports.__tls_size.value > 4096) throw new Error("no room for thread-local memory");
    exports.__stack_pointer.value = stack + STACK;
    exports.work(number);
}
