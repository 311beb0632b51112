// The views of the example's page. The part to copy is api.js.
import { call, cleanURL, visit, waiting } from "./api.js";

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

// arrive shows what the API knows about the visitor.
let answered = false;
async function arrive() {
	const seen = await visit();
	if (!email) signedIn(seen.email);
	$("#consent").hidden = answered || seen.consent !== "";
	return seen;
}

$("#consent").addEventListener("submit", (e) => {
	e.preventDefault();
	attempt(async () => {
		const { tracking } = await arrive();
		await call("/consent", { answer: e.submitter.value, tracking });
		answered = $("#consent").hidden = true;
		cleanURL();
	});
});

const views = {
	"/": () => show("home", "A reading room in your browser"),
	"/signup": () => {
		show("signup", "Sign up");
		submit(async (form) => {
			await arrive();
			const as = form.email.value;
			await call("/signup", { email: as });
			signedIn(as);
			go("/checkout");
		});
	},
	"/checkout": async () => {
		await arrive();
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

attempt(arrive);
route();
