// The calls of the page to the API: copy this file. Two things matter for the
// conversions: the first call carries the query of the landing page, and every
// call carries the cookies.

// The origin of the API: <html data-api="https://api.example.com">.
const api = document.documentElement.dataset.api;
const landing = location.search;

// call sends JSON to the API and returns its answer. Without "include" the browser
// neither sends nor stores the API's cookies, and reports no error.
export async function call(path, body) {
	const resp = await fetch(api + path, {
		credentials: "include",
		...(body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
	});
	const answer = await resp.json();
	if (!resp.ok) throw new Error(answer.error);
	return answer;
}

// visit tells the API about the landing page, once, and returns its answer. Call it
// at the start, and before a step that needs the tracking: after a failure the next
// call tries again, so no click is lost to a moment without network.
let visited;
export function visit() {
	visited ??= call("/visit" + landing).then(
		(seen) => {
			if (seen.consent !== "") cleanURL();
			return seen;
		},
		(err) => {
			visited = undefined;
			throw err;
		},
	);
	return visited;
}

// waiting is the query while consent is not answered. Keep it in the address bar on
// each view: a reload has to find the IDs.
export let waiting = landing;

// cleanURL removes the IDs from the address bar once they are stored or refused.
export function cleanURL() {
	waiting = "";
	const url = new URL(location);
	for (const name of [...url.searchParams.keys()]) {
		if (/^(submission|offer)$/i.test(name)) url.searchParams.delete(name);
	}
	history.replaceState(null, "", url);
}
