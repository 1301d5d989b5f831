// A policy that `agent-gym export` wrote, without memory and with discrete actions, in onnxruntime-web.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more need a page that is isolated from others
ort.env.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;

export class Policy {
  static async load(file) {
    return Object.assign(new Policy(), { session: await ort.InferenceSession.create(file) });
  }

  // obs: numbers as the environment gives them; the action as a number
  async act(obs) {
    const { action } = await this.session.run({ obs: new ort.Tensor("float32", Float32Array.from(obs), [1, obs.length]) });
    return Number(action.data[0]);
  }
}
