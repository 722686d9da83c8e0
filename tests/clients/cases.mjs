// The cases of a client script: listed, checked and run the same way whatever the client.
// Prints `ok name` or `FAIL name: why` for each case and ends with a failure when any case failed.

const CASES = [];

/** Adds a function to the list; its name is the case's name. */
export function testCase(body) {
  CASES.push(body);
}

/** Fails the case with a reason. */
export function check(condition, why) {
  if (!condition) throw new Error(typeof why === "string" ? why : JSON.stringify(why));
}

/** Gives the error of a call, which must be of exactly this kind. */
export async function raises(kind, call) {
  try {
    await call();
  } catch (error) {
    check(error.constructor === kind, `${error.constructor.name} instead of ${kind.name}: ${error.message}`);
    return error;
  }
  throw new Error(`no ${kind.name}`);
}

/** Like `fetch`, and notes the status of every answer and when it came. */
export function countingFetch() {
  const seen = [];
  const counting = async (url, init) => {
    const answer = await fetch(url, init);
    seen.push({ status: answer.status, at: performance.now(), headers: answer.headers });
    return answer;
  };
  return { counting, seen };
}

/** Runs every case in order and ends the script. */
export async function run() {
  let isGood = true;
  for (const body of CASES) {
    const started = performance.now();
    try {
      await body();
      console.log(`ok ${body.name}`);
    } catch (error) {
      isGood = false;
      const why = `${error?.constructor?.name}: ${error?.message ?? error}`.split(/\s+/).join(" ");
      console.log(`FAIL ${body.name}: ${why}`);
    }
    console.log(`   ${((performance.now() - started) / 1000).toFixed(2)} s`);
  }
  process.exit(isGood ? 0 : 1);
}
