/* Search without a server.

   Browsers start no worker for a page that was opened from a folder. There, this stands in for one: a hidden frame
   runs the worker's script, and messages go between the two. Material's search looks for a parent with the name
   IFrameWorker, and waits for importScripts to have loaded what it names. */
"use strict";

if (location.protocol === "file:") {
  const load = (frame, url) =>
    new Promise((done, failed) => {
      const script = frame.document.createElement("script");
      script.src = url;
      script.onload = done;
      script.onerror = () => failed(new Error(`cannot load ${url}`));
      frame.document.head.append(script);
    });

  // As between a page and a worker: never at once, so that whoever listens has begun to.
  const deliver = (target, data) => setTimeout(() => target.dispatchEvent(new MessageEvent("message", { data })));

  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      const element = document.createElement("iframe");
      element.hidden = true;
      element.title = "search";
      document.body.append(element);
      this.frame = element.contentWindow;
      // The worker's own globals: what it says arrives here, what it asks for is loaded into the frame.
      this.frame.postMessage = (data) => deliver(this, data);
      this.frame.importScripts = async (...urls) => {
        for (const each of urls) await load(this.frame, each);
      };
      this.ready = load(this.frame, url);
    }

    postMessage(data) {
      this.ready.then(() => deliver(this.frame, data));
    }

    terminate() {
      this.frame.frameElement.remove();
    }
  };
  window.Worker = window.IFrameWorker;
}
