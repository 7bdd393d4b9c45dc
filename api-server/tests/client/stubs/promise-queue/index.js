// Stands in for @wireapp/promise-queue, which not every registry has: tasks run one after another while the queue is not paused.
class PromiseQueue {
  static ERROR_CAUSES = {TIMEOUT: 'timeout', FLUSHED: 'flushed'};

  constructor({paused = false} = {}) {
    this.paused = paused;
    this.waiting = [];
    this.running = false;
  }

  push(task) {
    return new Promise((resolve, reject) => {
      this.waiting.push({task, resolve, reject});
      void this.work();
    });
  }

  async work() {
    if (this.running) return;
    this.running = true;
    while (!this.paused && this.waiting.length > 0) {
      const {task, resolve, reject} = this.waiting.shift();
      await Promise.resolve().then(task).then(resolve, reject);
    }
    this.running = false;
  }

  pause() { this.paused = true; }
  resume() { this.paused = false; void this.work(); }
  getLength() { return this.waiting.length; }
  hasRunningTasks() { return this.running; }
  flush() { for (const {reject} of this.waiting.splice(0)) reject(new Error('flushed', {cause: PromiseQueue.ERROR_CAUSES.FLUSHED})); }
}
exports.PromiseQueue = PromiseQueue;
