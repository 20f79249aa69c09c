// SPDX-License-Identifier: Apache-2.0

package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
)

// membership with content of its own.
func memWith(user, content string) sketch { return state(typeMember, user, user, content) }

func joinRules() []ruleRow {
	vouched := func(by string) sketch {
		return memWith(carol, `{"membership":"join","join_authorised_via_users_server":"`+by+`"}`)
	}
	restricted := joinRule("restricted")
	cautious := levels(`{"users":{"@bob:b":50},"invite":50}`)
	other := "1-5:5.2.6 6-7:4.2.6 8-11:4.3.7 12:5.3.7"
	return []ruleRow{
		{
			name: "a membership is state and says what it is", rule: "1-5:5.1 6-11:4.1 12:5.1",
			allowed: []situation{sit("a join", mem(alice, "join"))},
			refused: []situation{
				sit("no state key", message(typeMember, alice, `{"membership":"join"}`)),
				sit("no membership", memWith(alice, `{}`)),
				sit("Membership with a capital", memWith(alice, `{"Membership":"join"}`)),
			},
		}, {
			name: "the server that vouches for a join can be named", rule: "8-11:4.2.1 12:5.2.1",
			allowed: []situation{sit("a user id", memWith(alice, `{"membership":"join","join_authorised_via_users_server":"@bob:b"}`))},
			refused: []situation{
				sit("a server", memWith(alice, `{"membership":"join","join_authorised_via_users_server":"b"}`)),
				sit("null", memWith(alice, `{"membership":"join","join_authorised_via_users_server":null}`)),
				sit("of a leave, too", memWith(alice, `{"membership":"leave","join_authorised_via_users_server":5}`)),
			},
		}, {
			name: "the creator joins directly after the create event", rule: "1-5:5.2.1 6-7:4.2.1 8-11:4.3.1 12:5.3.1", by: other,
			allowed: []situation{
				sit("the creator", mem(alice, "join").after("$create"), without(typeMember, alice)),
				sit("the creator is whom content names", mem(bob, "join").after("$create"),
					createEvent().saying(`{"creator":"@bob:b"}`), without(typeMember, bob)).in("1-10"),
			},
			refused: []situation{
				sit("not the creator", mem(carol, "join").after("$create")),
				sit("after two events", mem(alice, "join").after("$create", "$other"), without(typeMember, alice)),
				sit("after another event", mem(alice, "join").after("$other"), without(typeMember, alice)),
				sit("an additional creator", mem(carol, "join").after("$create"),
					createEvent().saying(`{"additional_creators":["@carol:c"]}`)).in("12"),
			},
		}, {
			name: "nobody joins for another", rule: "1-5:5.2.2 6-7:4.2.2 8-11:4.3.2 12:5.3.2",
			allowed: []situation{sit("for oneself", mem(carol, "join"), joinRule("public"))},
			refused: []situation{sit("for another", memBy(alice, carol, "join"), joinRule("public"))},
		}, {
			name: "who is banned cannot join", rule: "1-5:5.2.3 6-7:4.2.3 8-11:4.3.3 12:5.3.3",
			allowed: []situation{sit("who left can", mem(carol, "join"), joinRule("public"), mem(carol, "leave"))},
			refused: []situation{sit("banned", mem(carol, "join"), joinRule("public"), memBy(alice, carol, "ban"))},
		}, {
			name: "where one must be invited, the invited join", rule: "1-5:5.2.4 6-7:4.2.4 8-11:4.3.4 12:5.3.4", by: other,
			allowed: []situation{
				sit("invited", mem(carol, "join"), memBy(alice, carol, "invite")),
				sit("in the room", mem(dave, "join")),
				sit("invited where one may knock", mem(carol, "join"), joinRule("knock"), memBy(alice, carol, "invite")).in("7-12"),
				sit("no join rules are like invite", mem(carol, "join"), without(typeJoinRules, ""), memBy(alice, carol, "invite")),
				sit("no join rule is like invite", mem(carol, "join"), joinRule("").saying(`{}`), memBy(alice, carol, "invite")),
			},
			refused: []situation{
				sit("a stranger", mem(carol, "join")),
				sit("who left", mem(carol, "join"), mem(carol, "leave")),
				sit("who knocked", mem(carol, "join"), joinRule("knock"), mem(carol, "knock")).in("7-12"),
				sit("in the room, but knock is no rule yet", mem(dave, "join"), joinRule("knock")).in("1-6"),
				sit("no join rules", mem(carol, "join"), without(typeJoinRules, "")),
			},
		}, {
			name: "where joins are restricted, the invited join", rule: "8-11:4.3.5.1 12:5.3.5.1", by: "8-11:4.3.5.2 12:5.3.5.2",
			allowed: []situation{
				sit("invited", mem(carol, "join"), restricted, memBy(alice, carol, "invite")),
				sit("in the room", mem(dave, "join"), restricted),
				sit("in the room, knock_restricted", mem(dave, "join"), joinRule("knock_restricted")).in("10-12"),
			},
			refused: []situation{sit("a stranger", mem(carol, "join"), restricted)},
		}, {
			name: "where joins are restricted, a member who may invite vouches", rule: "8-11:4.3.5.2 12:5.3.5.2",
			allowed: []situation{
				sit("level 50 of 50", vouched(bob), restricted, cautious),
				sit("invite level 0", vouched(dave), restricted, levels(`{"invite":0}`)),
				sit("invite level absent", vouched(dave), restricted, levels(`{}`)),
				sit("the creator", vouched(alice), restricted, cautious).in("12"),
				sit("invite level a string", vouched(bob), restricted, levels(`{"users":{"@bob:b":"50"},"invite":"50"}`)).in("8-9"),
			},
			refused: []situation{
				sit("level 0 of 50", vouched(dave), restricted, cautious),
				sit("not in the room", vouched("@eve:e"), restricted),
				sit("who left", vouched(bob), restricted, mem(bob, "leave")),
				sit("nobody named", mem(carol, "join"), restricted),
				sit("one's own word", vouched(carol), restricted),
				sit("invite level 1", vouched(dave), restricted, levels(`{"invite":1}`)),
			},
		}, {
			name: "where joins are restricted, one for whom a member vouches joins", rule: "8-11:4.3.5.3 12:5.3.5.3", by: "8-11:4.3.5.2 12:5.3.5.2",
			allowed: []situation{
				sit("restricted", vouched(bob), restricted),
				sit("knock_restricted", vouched(bob), joinRule("knock_restricted")).in("10-12"),
				sit("who knocked", vouched(bob), restricted, mem(carol, "knock")),
			},
			refused: []situation{sit("a stranger", mem(carol, "join"), restricted)},
		}, {
			name: "a public room is open", rule: "1-5:5.2.5 6-7:4.2.5 8-11:4.3.6 12:5.3.6", by: other,
			allowed: []situation{
				sit("a stranger", mem(carol, "join"), joinRule("public")),
				sit("who knocked", mem(carol, "join"), joinRule("public"), mem(carol, "knock")),
			},
			refused: []situation{sit("Public with a capital", mem(carol, "join"), joinRule("Public"))},
		}, {
			name: "other join rules let nobody in", rule: other,
			allowed: []situation{sit("public does", mem(carol, "join"), joinRule("public"))},
			refused: []situation{
				sit("private", mem(carol, "join"), joinRule("private")),
				sit("in the room", mem(dave, "join"), joinRule("private")),
				sit("a number", mem(carol, "join"), joinRule("").saying(`{"join_rule":5}`), memBy(alice, carol, "invite")),
				sit("restricted is no rule yet", vouched(bob), restricted).in("1-7"),
				sit("knock_restricted is no rule yet", vouched(bob), joinRule("knock_restricted")).in("1-9"),
			},
		},
	}
}

// inviteOf is a third-party invite of carol with the parts of its signed object.
func inviteOf(key ed25519.PrivateKey, mxid, token string) sketch {
	signed := fmt.Sprintf(`{"mxid":%q,"token":%q}`, mxid, token)
	whole, err := SignJSON([]byte(signed), Signer{Server: "id.server", KeyID: "ed25519:0", PrivateKey: key})
	if err != nil {
		panic(err) // only in a test that is wrong itself
	}
	return memBy(alice, carol, "invite").saying(`{"membership":"invite","third_party_invite":{"signed":` + string(whole) + `}}`)
}

func inviteRules() []ruleRow {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	wrong := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	public := base64.RawStdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	offer := state(typeThirdPartyInvite, "token", alice, `{"public_key":"`+public+`"}`)
	good := inviteOf(key, carol, "token")
	third := func(property string) sketch {
		return good.saying(`{"membership":"invite","third_party_invite":` + property + `}`)
	}
	at := func(sub string) string {
		return "1-5:5.3." + sub + " 6-7:4.3." + sub + " 8-11:4.4." + sub + " 12:5.4." + sub
	}
	accepted := []situation{sit("a good one", good, offer)}
	invite := memBy(bob, carol, "invite")
	return []ruleRow{
		{
			name: "a third-party invite of a banned user is void", rule: at("1.1"), allowed: accepted,
			refused: []situation{sit("banned", good, offer, memBy(alice, carol, "ban"))},
		}, {
			name: "a third-party invite is signed", rule: at("1.2"), allowed: accepted,
			refused: []situation{
				sit("no signed", third(`{}`), offer), sit("null", third(`null`), offer), sit("a string", third(`"signed"`), offer),
			},
		}, {
			name: "a third-party invite names user and token", rule: at("1.3"), allowed: accepted,
			refused: []situation{
				sit("no mxid", third(`{"signed":{"token":"token"}}`), offer),
				sit("no token", third(`{"signed":{"mxid":"@carol:c"}}`), offer),
				sit("signed is null", third(`{"signed":null}`), offer),
				sit("a token that is no string", third(`{"signed":{"mxid":"@carol:c","token":5}}`), offer),
			},
		}, {
			name: "a third-party invite is of the user that it names", rule: at("1.4"), allowed: accepted,
			refused: []situation{sit("another user", inviteOf(key, dave, "token"), offer)},
		}, {
			name: "a third-party invite follows from one in the room", rule: at("1.5"), allowed: accepted,
			refused: []situation{sit("none", good), sit("another token", inviteOf(key, carol, "other"), offer)},
		}, {
			name: "a third-party invite is of the same sender", rule: at("1.6"), allowed: accepted,
			refused: []situation{sit("another sender", good.by(bob), offer)},
		}, {
			name: "a third-party invite with a signature of a listed key is allowed", rule: at("1.7"), by: at("1.8"),
			allowed: []situation{
				sit("public_key", good, offer),
				sit("public_keys", good, offer.saying(`{"public_key":"AA","public_keys":[{},{"public_key":"`+public+`"}]}`)),
				sit("the sender has left", good, offer, mem(alice, "leave")),
			},
			refused: []situation{sit("a key of another", inviteOf(wrong, carol, "token"), offer)},
		}, {
			name: "a third-party invite without good signature is refused", rule: at("1.8"), allowed: accepted,
			refused: []situation{
				sit("no key", good, offer.saying(`{}`)),
				sit("no signature", third(`{"signed":{"mxid":"@carol:c","token":"token"}}`), offer),
				sit("signatures that are none", third(`{"signed":{"mxid":"@carol:c","token":"token","signatures":{"a":5}}}`), offer),
				sit("another algorithm", third(`{"signed":{"mxid":"@carol:c","token":"token","signatures":{"a":{"rsa:1":"AA"}}}}`), offer),
			},
		}, {
			name: "only members invite", rule: at("2"),
			allowed: []situation{sit("a member", invite)},
			refused: []situation{
				sit("who left", invite, mem(bob, "leave")), sit("a stranger", memBy("@eve:e", carol, "invite")),
				sit("oneself", mem(carol, "invite")),
			},
		}, {
			name: "members and the banned are not invited", rule: at("3"),
			allowed: []situation{
				sit("a stranger", invite), sit("who was invited", invite, memBy(alice, carol, "invite")),
				sit("who left", invite, mem(carol, "leave")), sit("who knocked", invite, mem(carol, "knock")),
			},
			refused: []situation{sit("a member", memBy(bob, dave, "invite")), sit("the banned", invite, memBy(alice, carol, "ban"))},
		}, {
			name: "the level for inviting is enough", rule: at("4"), by: at("5"),
			allowed: []situation{
				sit("50 of 50", invite, levels(`{"users":{"@bob:b":50},"invite":50}`)),
				sit("0 of 0", memBy(dave, carol, "invite"), levels(`{"invite":0}`)),
				sit("0 of absent", memBy(dave, carol, "invite"), levels(`{}`)),
				sit("0 without levels", memBy(dave, carol, "invite"), without(typePowerLevels, "")),
				sit("a string", invite, levels(`{"users":{"@bob:b":"50"},"invite":" +050 "}`)).in("1-9"),
				sit("the creator", memBy(alice, carol, "invite"), levels(`{"invite":9007199254740991}`)).in("12"),
			},
			refused: []situation{sit("49 of 50", invite, levels(`{"users":{"@bob:b":49},"invite":50}`))},
		}, {
			name: "a lower level for inviting is not", rule: at("5"),
			allowed: []situation{sit("1 of 1", memBy(dave, carol, "invite"), levels(`{"users_default":1,"invite":1}`))},
			refused: []situation{
				sit("0 of 1", memBy(dave, carol, "invite"), levels(`{"invite":1}`)),
				sit("the default of another", memBy(dave, carol, "invite"), levels(`{"users":{"@dave:d":0},"users_default":50,"invite":50}`)),
				sit("a string", memBy(dave, carol, "invite"), levels(`{"invite":"1"}`)).in("1-9"),
			},
		},
	}
}

func leaveRules() []ruleRow {
	leaving := func(sub string) string {
		return "1-5:5.4." + sub + " 6-7:4.4." + sub + " 8-11:4.5." + sub + " 12:5.5." + sub
	}
	banning := func(sub string) string {
		return "1-5:5.5." + sub + " 6-7:4.5." + sub + " 8-11:4.6." + sub + " 12:5.6." + sub
	}
	kick, ban, unban := memBy(bob, dave, "leave"), memBy(bob, dave, "ban"), memBy(bob, carol, "leave")
	banned := memBy(alice, carol, "ban")
	peer := levels(`{"users":{"@bob:b":50,"@dave:d":50}}`)
	return []ruleRow{
		{
			name: "one leaves, declines and withdraws", rule: leaving("1"),
			allowed: []situation{
				sit("leaves", mem(dave, "leave")), sit("declines", mem(carol, "leave"), memBy(bob, carol, "invite")),
				sit("withdraws", mem(carol, "leave"), mem(carol, "knock")).in("7-12"),
			},
			refused: []situation{
				sit("a stranger", mem(carol, "leave")), sit("who left", mem(carol, "leave"), mem(carol, "leave")),
				sit("the banned", mem(carol, "leave"), banned),
				sit("there is no knocking yet", mem(carol, "leave"), mem(carol, "knock")).in("1-6"),
			},
		}, {
			name: "only members remove others", rule: leaving("2"),
			allowed: []situation{sit("a member", kick)},
			refused: []situation{sit("who left", kick, mem(bob, "leave")), sit("the invited", kick, memBy(alice, bob, "invite"))},
		}, {
			name: "lifting a ban needs the level for banning", rule: leaving("3"),
			allowed: []situation{sit("50 of 50", unban, banned), sit("ban level 0", unban, banned, levels(`{"users":{"@bob:b":50},"ban":0}`))},
			refused: []situation{
				sit("50 of 51", unban, banned, levels(`{"users":{"@bob:b":50},"ban":51}`)),
				sit("0 of absent", memBy(dave, carol, "leave"), banned, levels(`{"kick":0,"users":{"@carol:c":-1}}`)),
				sit("50 of a string", unban, banned, levels(`{"users":{"@bob:b":50},"ban":"51"}`)).in("1-9"),
			},
		}, {
			name: "removing needs the level for it and one above the user's", rule: leaving("4"), by: leaving("5"),
			allowed: []situation{
				sit("50 of absent", kick), sit("kick level 0", memBy(dave, carol, "leave"), levels(`{"kick":0,"users":{"@carol:c":-1}}`)),
				sit("a string", kick, levels(`{"users":{"@bob:b":50},"kick":"50"}`)).in("1-9"),
				sit("the creator", memBy(alice, bob, "leave"), levels(`{"kick":9007199254740991,"users":{"@bob:b":9007199254740991}}`)).in("12"),
			},
			refused: []situation{sit("equals", kick, peer)},
		}, {
			name: "nobody else removes others", rule: leaving("5"),
			allowed: []situation{sit("who may", kick)},
			refused: []situation{
				sit("0 of absent", memBy(dave, carol, "leave")), sit("50 of 51", kick, levels(`{"users":{"@bob:b":50},"kick":51}`)),
				sit("a higher user", memBy(bob, alice, "leave")), sit("equals", kick, peer),
				sit("lifting a ban with too low a level for removing", unban, banned, levels(`{"users":{"@bob:b":50},"kick":51}`)),
				sit("lifting the ban of an equal", unban, banned, levels(`{"users":{"@bob:b":50,"@carol:c":50}}`)),
				sit("the creator whatever the levels", memBy(bob, alice, "leave"), levels(`{"users":{"@bob:b":9007199254740991}}`)).in("12"),
			},
		}, {
			name: "only members ban", rule: banning("1"),
			allowed: []situation{sit("a member", ban)},
			refused: []situation{sit("who left", ban, mem(bob, "leave")), sit("a stranger", memBy("@eve:e", dave, "ban"))},
		}, {
			name: "banning needs the level for it and one above the user's", rule: banning("2"), by: banning("3"),
			allowed: []situation{
				sit("50 of absent", ban), sit("a stranger", memBy(bob, carol, "ban")),
				sit("ban level 0", memBy(dave, carol, "ban"), levels(`{"ban":0,"users":{"@carol:c":-1}}`)),
				sit("a string", ban, levels(`{"users":{"@bob:b":"50"},"ban":"50"}`)).in("1-9"),
			},
			refused: []situation{sit("equals", ban, peer)},
		}, {
			name: "nobody else bans", rule: banning("3"),
			allowed: []situation{sit("who may", ban)},
			refused: []situation{
				sit("0 of absent", memBy(dave, carol, "ban")), sit("50 of 51", ban, levels(`{"users":{"@bob:b":50},"ban":51}`)),
				sit("oneself", mem(bob, "ban")), sit("a higher user", memBy(bob, alice, "ban")),
				sit("an additional creator", memBy(alice, carol, "ban"), createEvent().saying(`{"additional_creators":["@carol:c"]}`)).in("12"),
			},
		},
	}
}

func knockRules() []ruleRow {
	at := func(sub string) string { return "7:4.6." + sub + " 8-11:4.7." + sub + " 12:5.7." + sub }
	knock, open := mem(carol, "knock"), joinRule("knock")
	return []ruleRow{
		{
			name: "one knocks where the join rule says so", rule: at("1"),
			allowed: []situation{sit("knock", knock, open), sit("knock_restricted", knock, joinRule("knock_restricted")).in("10-12")},
			refused: []situation{
				sit("invite", knock), sit("public", knock, joinRule("public")), sit("none", knock, without(typeJoinRules, "")),
				sit("restricted", knock, joinRule("restricted")),
				sit("knock_restricted is no rule yet", knock, joinRule("knock_restricted")).in("7-9"),
			},
		}, {
			name: "nobody knocks for another", rule: at("2"),
			allowed: []situation{sit("for oneself", knock, open)},
			refused: []situation{sit("for another", memBy(bob, carol, "knock"), open)},
		}, {
			name: "strangers knock", rule: at("3"), by: at("4"),
			allowed: []situation{
				sit("a stranger", knock, open), sit("who left", knock, open, mem(carol, "leave")), sit("again", knock, open, knock),
			},
			refused: []situation{sit("a member", mem(dave, "knock"), open)},
		}, {
			name: "members, the invited and the banned do not knock", rule: at("4"),
			allowed: []situation{sit("a stranger", knock, open)},
			refused: []situation{
				sit("a member", mem(dave, "knock"), open), sit("the invited", knock, open, memBy(bob, carol, "invite")),
				sit("the banned", knock, open, memBy(alice, carol, "ban")),
			},
		}, {
			name: "other memberships do not exist", rule: "1-5:5.6 6:4.6 7:4.7 8-11:4.8 12:5.8",
			allowed: []situation{sit("join does", mem(dave, "join"))},
			refused: []situation{
				sit("a word", mem(dave, "sleep")), sit("empty", mem(dave, "")), sit("a number", memWith(dave, `{"membership":5}`)),
				sit("there is no knocking yet", knock, open).in("1-6"),
			},
		},
	}
}
