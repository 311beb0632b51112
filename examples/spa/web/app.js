// The page of the example. Two things matter for the conversions: the first call
// carries the query of the landing page, and every call carries the cookies.

const api = document.documentElement.dataset.api;
const landing = location.search;

// call sends JSON to the API and returns its answer. Without "include" the browser
// neither sends nor stores the API's cookies, and reports no error.
async function call(path, body) {
	const resp = await fetch(api + path, {
		credentials: "include",
		...(body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
	});
	const answer = await resp.json();
	if (!resp.ok) throw new Error(answer.error);
	return answer;
}

// visit tells the API about the landing page, once, and shows what it answers.
// After a failure the next caller tries again: no click is lost to a moment
// without network.
let visited;
function visit() {
	visited ??= call("/visit" + landing).then(
		(seen) => {
			signedIn(seen.email);
			$("#consent").hidden = seen.consent !== "";
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

// waiting is the query while consent is not answered. It stays in the address bar
// on each view: a reload has to find the IDs.
let waiting = landing;

// cleanURL takes the IDs out of the address bar once they are stored or refused.
function cleanURL() {
	waiting = "";
	const url = new URL(location);
	for (const name of [...url.searchParams.keys()]) {
		if (/^(submission|offer)$/i.test(name)) url.searchParams.delete(name);
	}
	history.replaceState(null, "", url);
}

const $ = (css) => document.querySelector(css);
let email = "";

// attempt runs a step and shows its error.
async function attempt(step) {
	$("#problem").textContent = "";
	try {
		await step();
	} catch (err) {
		$("#problem").textContent = err instanceof TypeError ? "The server cannot be reached. Please try again." : err.message;
	}
}

function signedIn(as) {
	email = as;
	$("#who").textContent = email && `Signed in as ${email}`;
	for (const link of document.querySelectorAll("[data-start]")) link.href = email ? "/checkout" : "/signup";
}

$("#consent").addEventListener("submit", (e) => {
	e.preventDefault();
	attempt(async () => {
		const { tracking } = await visit();
		await call("/consent", { answer: e.submitter.value, tracking });
		$("#consent").hidden = true;
		cleanURL();
	});
});

const views = {
	"/": () => show("home", "A reading room in your browser"),
	"/signup": () => {
		show("signup", "Sign up");
		submit(async (form) => {
			await visit();
			const as = form.email.value;
			await call("/signup", { email: as });
			signedIn(as);
			go("/checkout");
		});
	},
	"/checkout": async () => {
		await visit();
		if (!email) return go("/signup");
		show("checkout", "Checkout");
		submit(async () => location.assign((await call("/orders", {})).pay));
	},
	"/thanks": async () => {
		show("thanks", "Thank you");
		const id = new URLSearchParams(location.search).get("order");
		$("#order").textContent = id.slice(0, 8);
		for (let i = 0; i < 60 && location.pathname === "/thanks"; i++) {
			const order = await call("/orders/" + encodeURIComponent(id));
			$("#paid").textContent = order.paid ? "paid" : "being paid";
			$("#state").textContent = order.conversion || "not there";
			$("#state").dataset.state = order.conversion;
			if (order.paid && order.conversion !== "pending") return;
			await new Promise((done) => setTimeout(done, 500));
		}
	},
};

// show puts a view on the page and moves the focus to its heading, where a screen
// reader goes on.
function show(name, title) {
	$("#view").replaceChildren($(`template#${name}`).content.cloneNode(true));
	$("#view").dataset.view = name;
	document.title = `${title} – Quietly`;
	signedIn(email);
	if (moved) $("#view h1").focus();
}

function submit(step) {
	const form = $("#view form");
	form.addEventListener("submit", async (e) => {
		e.preventDefault();
		const button = form.querySelector("button");
		button.disabled = true; // one order for two clicks
		await attempt(() => step(form));
		button.disabled = false;
	});
}

let moved = false; // the first view is the browser's own load

// route shows the view of the path.
function route() {
	attempt(views[location.pathname] ?? views["/"]);
}

function go(path) {
	moved = true;
	history.pushState(null, "", path + waiting);
	route();
}

addEventListener("popstate", () => {
	moved = true;
	route();
});
document.addEventListener("click", (e) => {
	const link = e.target.closest("a");
	if (!link || link.origin !== location.origin || link.hash || e.ctrlKey || e.metaKey || e.shiftKey) return;
	e.preventDefault();
	go(link.pathname);
});

attempt(visit);
route();
