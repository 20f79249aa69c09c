// SPDX-License-Identifier: Apache-2.0

// An encrypted chat between clients of matrix-js-sdk, in one process: Alice
// sets up cross-signing, secret storage and key backup; Bob talks to her; a
// second device of Alice is verified by emoji and reads what was sent before it
// existed. Prints a line "ok: …" per step among the library's own log, and ends
// with an error at the first that fails.
import assert from "node:assert/strict";

import * as sdk from "matrix-js-sdk";
import { CryptoEvent, VerificationPhase, VerificationRequestEvent, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

const baseUrl = process.argv[2];
const password = "correct horse battery staple";
const patience = 60_000;
const clients = [];

function step(text) {
    console.log(`ok: ${text}`);
}

// until resolves when check() is, or promises, true; it is asked again at each of
// the emitter's events, never by the clock.
function until(what, emitter, events, check) {
    return new Promise((resolve, reject) => {
        const done = (outcome) => {
            clearTimeout(timer);
            events.forEach((name) => emitter.off(name, ask));
            outcome();
        };
        const ask = async () => {
            try {
                if (await check()) done(resolve);
            } catch (error) {
                done(() => reject(error));
            }
        };
        const timer = setTimeout(() => done(() => reject(new Error(`no sign of: ${what}`))), patience);
        events.forEach((name) => emitter.on(name, ask));
        ask();
    });
}

// authenticate answers user-interactive authentication with the password.
function authenticate(user) {
    return async (request) => {
        try {
            return await request(null);
        } catch (error) {
            if (error.httpStatus !== 401 || !error.data?.session) throw error;
            return request({
                type: "m.login.password",
                identifier: { type: "m.id.user", user },
                password,
                session: error.data.session,
            });
        }
    };
}

// inOrder is fetch with to-device messages one after the other. The library sends
// the last messages of a verification at the same time, and the other device
// waits for ever when they overtake each other, which no server can prevent.
function inOrder() {
    let last = Promise.resolve();
    return (resource, options) => {
        if (!String(resource).includes("/sendToDevice/")) return fetch(resource, options);
        const sent = last.catch(() => {}).then(() => fetch(resource, options));
        last = sent;
        return sent;
    };
}

async function start(session, recovery) {
    const client = sdk.createClient({
        baseUrl,
        fetchFn: inOrder(),
        userId: session.user_id,
        deviceId: session.device_id,
        accessToken: session.access_token,
        cryptoCallbacks: {
            getSecretStorageKey: async ({ keys }) => (recovery.key ? [Object.keys(keys)[0], recovery.key] : null),
            cacheSecretStorageKey: (_, __, key) => {
                recovery.key = key;
            },
        },
    });
    clients.push(client);
    await client.initRustCrypto({ useIndexedDB: false });
    const synced = until("first sync", client, [sdk.ClientEvent.Sync], () => client.isInitialSyncComplete());
    await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true, threadSupport: true });
    await synced;
    return client;
}

async function register(name) {
    const anyone = sdk.createClient({ baseUrl });
    return anyone.registerRequest({ username: name, password, auth: { type: "m.login.dummy" } });
}

// message resolves with a room's decrypted event of this text.
async function message(client, roomId, body) {
    let found;
    await until(`"${body}" at ${client.getUserId()} ${client.getDeviceId()}`, client,
        [sdk.ClientEvent.Event, sdk.RoomEvent.Timeline, sdk.MatrixEventEvent.Decrypted], () => {
            const events = client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
            found = events.filter((event) => event.getContent().body === body);
            return found.length > 0;
        });
    assert.equal(found.length, 1, `"${body}" is there more than once`);
    assert.ok(found[0].isEncrypted(), `"${body}" was sent in clear`);
    return found[0];
}

async function join(client, roomId) {
    await until("the invitation", client, [sdk.RoomEvent.MyMembership, sdk.ClientEvent.Room],
        () => client.getRoom(roomId)?.getMyMembership() === "invite");
    await client.joinRoom(roomId);
    await until("membership", client, [sdk.RoomEvent.MyMembership, sdk.RoomStateEvent.Events],
        () => client.getRoom(roomId)?.getMyMembership() === "join");
}

// verify has two devices of one user compare emoji, as two people would not but
// two screens do.
async function verify(older, newer) {
    const incoming = new Promise((resolve) => older.once(CryptoEvent.VerificationRequestReceived, resolve));
    const request = await newer.getCrypto().requestOwnUserVerification();
    const asked = await incoming;
    await asked.accept();
    await until("readiness", request, [VerificationRequestEvent.Change], () => request.phase === VerificationPhase.Ready);
    const verifier = await request.startVerification("m.sas.v1");
    await until("the start at the older device", asked, [VerificationRequestEvent.Change], () => asked.verifier !== undefined);
    const shown = (each) => new Promise((resolve) => each.once(VerifierEvent.ShowSas, resolve));
    const both = [asked.verifier, verifier].map((each) => ({ shown: shown(each), verified: each.verify() }));
    const [at, atOther] = await Promise.all(both.map((each) => each.shown));
    const emoji = at.sas.emoji.map(([each]) => each).join(" ");
    assert.equal(emoji, atOther.sas.emoji.map(([each]) => each).join(" "), "the devices show different emoji");
    await Promise.all([at.confirm(), atOther.confirm()]);
    await Promise.all(both.map((each) => each.verified));
    return emoji;
}

async function main() {
    const recovery = {};
    const alice = await start(await register("alice"), recovery);
    const bob = await start(await register("bob"), {});
    step("two users are registered and synced");

    await alice.getCrypto().bootstrapCrossSigning({ authUploadDeviceSigningKeys: authenticate("alice") });
    await alice.getCrypto().bootstrapSecretStorage({
        createSecretStorageKey: () => alice.getCrypto().createRecoveryKeyFromPassphrase(),
        setupNewSecretStorage: true,
        setupNewKeyBackup: true,
    });
    assert.ok(await alice.getCrypto().isCrossSigningReady(), "cross-signing is not ready");
    assert.ok(await alice.getCrypto().isSecretStorageReady(), "secret storage is not ready");
    assert.ok(await alice.getCrypto().getActiveSessionBackupVersion(), "there is no key backup");
    step("cross-signing, secret storage and key backup are set up");

    const { room_id: roomId } = await alice.createRoom({
        preset: "private_chat",
        name: "Foyer",
        invite: [bob.getUserId()],
        initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
    });
    await join(bob, roomId);
    await until("Bob in Alice's room", alice, [sdk.RoomStateEvent.Members, sdk.RoomStateEvent.Events],
        () => alice.getRoom(roomId)?.getMember(bob.getUserId())?.membership === "join");
    const sent = await alice.sendTextMessage(roomId, "hello Bob");
    const got = await message(bob, roomId, "hello Bob");
    assert.equal(got.getId(), sent.event_id);
    await bob.sendReadReceipt(got);
    await until("Bob's receipt", alice, [sdk.RoomEvent.Receipt], () => alice.getRoom(roomId).getUsersReadUpTo(
        alice.getRoom(roomId).findEventById(sent.event_id)).includes(bob.getUserId()));
    await bob.sendEvent(roomId, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id: sent.event_id, key: "👍" } });
    await bob.sendTextMessage(roomId, "hello Alice");
    await message(alice, roomId, "hello Alice");
    step("an encrypted room: messages both ways, a receipt, a reaction");

    await until("both senders' keys in the backup", alice, [CryptoEvent.KeyBackupSessionsRemaining], async () =>
        (await alice.http.authedRequest("GET", "/room_keys/version")).count === 2);
    step("the keys are backed up");

    const anyone = sdk.createClient({ baseUrl });
    const second = await anyone.loginRequest({
        type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password,
    });
    const other = await start(second, {});
    assert.equal(await other.getCrypto().isCrossSigningReady(), false, "a new device trusts itself");
    const emoji = await verify(alice, other);
    await until("the new device's signature", alice, [CryptoEvent.DevicesUpdated], async () =>
        (await alice.getCrypto().getDeviceVerificationStatus(alice.getUserId(), second.device_id))?.crossSigningVerified);
    step(`a second device is verified: ${emoji}`);

    await until("the backup's key", other, [CryptoEvent.KeyBackupDecryptionKeyCached], async () =>
        (await other.getCrypto().getSessionBackupPrivateKey()) !== null);
    await message(other, roomId, "hello Bob");
    await message(other, roomId, "hello Alice");
    step("it reads what was sent before it existed");

    await other.sendTextMessage(roomId, "from my new device");
    await message(bob, roomId, "from my new device");
    await other.logout(true);
    await until("the sign-out at Bob's", bob, [CryptoEvent.DevicesUpdated], async () =>
        !(await bob.getCrypto().getUserDeviceInfo([alice.getUserId()])).get(alice.getUserId()).has(second.device_id));
    await alice.sendTextMessage(roomId, "and on");
    await message(bob, roomId, "and on");
    step("it sends, signs out, and the others go on");
}

// Much that the library promises has no end of its own.
const stuck = setTimeout(() => {
    console.error("stuck after the last step that is ok");
    process.exit(1);
}, 4 * patience);

try {
    await main();
} finally {
    clearTimeout(stuck);
    clients.forEach((client) => client.stopClient());
}
process.exit(0);
