"""Micro-batches: calls from the event loop, collected for a few milliseconds, worked on in one thread.

The event loop stays free while the thread works. Two things in the service go through it: prompts, since
a model answers eight prompts in little more time than one; and votes, since one write to disk can carry
many votes.
"""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor


class QueueFull(Exception):
    """No room: the caller should try again later."""


class Closed(Exception):
    """The batcher takes nothing any more."""


class Batcher:
    """Collects items into batches and hands them to `work` in a thread of its own.

    A batch starts with the first item that waits and takes what comes within `wait` seconds, up to
    `max_batch`; what came while the thread was busy goes into the next batch at once. Where a batch of
    several raises, its halves are tried, and theirs, so that only the bad items fail, and one of them costs the
    others little; `work` must bear that.
    An exception of a kind in `whole` fails the whole batch at once.

    Args:
        work: takes a list of items, returns a list of results in their order. Called in the thread.
        max_batch: the most items of one call.
        wait: seconds that a batch waits for company.
        limit: the most items that wait; those in work are not counted.
        whole: exception classes that are no single item's fault.
        name: of the thread.
    """

    def __init__(self, work, max_batch=8, wait=0.005, limit=64, whole=(), name="batcher"):
        if max_batch < 1 or limit < 1 or wait < 0:
            raise ValueError("max_batch and limit must be at least 1, wait must not be negative")
        self._work, self._max_batch, self._wait, self._limit, self._name = work, max_batch, wait, limit, name
        self._whole, self._since = tuple(whole), None
        self._waiting = deque()  # (item, future)
        self._more, self._task, self._thread, self._open = asyncio.Event(), None, None, False
        self.sizes = deque(maxlen=1000)  # of the latest batches

    def __len__(self):
        """How many items wait."""
        return len(self._waiting)

    @property
    def alive(self):
        """Whether items are taken and worked on."""
        return self._open and not self._task.done()

    def busy(self):
        """Seconds that the batch in work has taken so far; 0.0 where there is none."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    async def start(self):
        """Begin to work; to be called in the event loop that will submit."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        self._open, self._task = True, asyncio.create_task(self._run())

    async def submit(self, item):
        """The result for one item.

        A caller that is cancelled while its item waits takes the item out of the queue; if it is
        already in work, the result is dropped and the others of the batch get theirs.

        Raises:
            QueueFull: where `limit` items wait already.
            Closed: before `start` and after `close`.
            Exception: what `work` raised for this item.
        """
        if not self._open:
            raise Closed(self._name)
        if len(self._waiting) >= self._limit:
            raise QueueFull(self._name)
        entry = (item, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._more.set()
        try:
            return await entry[1]
        finally:
            if entry[1].cancelled() and entry in self._waiting:
                self._waiting.remove(entry)

    async def close(self):
        """Take nothing more, finish what waits, end the thread."""
        if self._open:
            self._open = False
            self._more.set()
            await self._task
            await asyncio.to_thread(self._thread.shutdown)

    async def _run(self):
        loop = asyncio.get_running_loop()
        while self._open or self._waiting:
            self._more.clear()
            if not self._waiting:
                await self._more.wait()
                continue
            await self._company(loop.time() + self._wait)
            count = min(self._max_batch, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            if not batch:  # all were cancelled meanwhile
                continue
            self.sizes.append(count)
            items = [item for item, _ in batch]
            self._since = time.monotonic()
            results = await loop.run_in_executor(self._thread, self._each, items)
            self._since = None
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    async def _company(self, until):
        """Wait until the batch is full or `until` has come."""
        loop = asyncio.get_running_loop()
        while self._open and len(self._waiting) < self._max_batch and (left := until - loop.time()) > 0:
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), left)
            except TimeoutError:
                return

    def _each(self, items):
        """Results of `work`, an exception in the place of each item that failed."""
        try:
            results = list(self._work(items))
            if len(results) != len(items):
                raise RuntimeError(f"{self._name}: {len(results)} results for {len(items)} items")
            return results
        except Exception as error:
            if len(items) == 1 or isinstance(error, self._whole):
                return [error] * len(items)
            half = len(items) // 2
            return self._each(items[:half]) + self._each(items[half:])
