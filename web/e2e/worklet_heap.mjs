// The heap of the audio thread's isolate, which the DevTools protocol knows as a target of the page.

/** Attaches to the worklets that `page` opens from now on; the answer says how many bytes their heaps use. */
export async function watchWorkletHeap(page) {
  const session = await page.context().newCDPSession(page);
  const worklets = new Set();
  const waiting = new Map();
  let sent = 0;
  session.on('Target.attachedToTarget', ({ sessionId, targetInfo }) => targetInfo.type === 'worklet' && worklets.add(sessionId));
  session.on('Target.detachedFromTarget', ({ sessionId }) => worklets.delete(sessionId));
  session.on('Target.receivedMessageFromTarget', ({ message }) => {
    const { id, result } = JSON.parse(message);
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  await session.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });

  const usedBytes = async (sessionId) => {
    sent += 1;
    const answer = new Promise((resolve) => waiting.set(sent, resolve));
    await session.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id: sent, method: 'Runtime.getHeapUsage' }) });
    return (await answer).usedSize;
  };
  return async () => {
    const sizes = await Promise.all([...worklets].map(usedBytes));
    return sizes.length > 0 ? sizes.reduce((sum, size) => sum + size, 0) : null;
  };
}
