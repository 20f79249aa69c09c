// SPDX-License-Identifier: Apache-2.0

package event

func senderRules() []ruleRow {
	topic := state("m.room.topic", "", bob, `{}`)
	offer := state(typeThirdPartyInvite, "token", bob, `{}`)
	text := message("m.room.message", dave, `{}`)
	required := "1-5:8 6-11:7 12:8"
	return []ruleRow{
		{
			name: "only members send", rule: "1-5:6 6-11:5 12:6",
			allowed: []situation{sit("a member", text)},
			refused: []situation{
				sit("who left", text, mem(dave, "leave")), sit("the invited", text, memBy(bob, dave, "invite")),
				sit("the banned", text, memBy(bob, dave, "ban")), sit("a stranger", text.by(carol)),
				sit("aliases", state(typeAliases, "c", carol, `{}`)).in("6-12"),
			},
		}, {
			name: "a third-party invite needs the level for inviting and no other", rule: "1-5:7.1 6-11:6.1 12:7.1",
			allowed: []situation{
				sit("50 of 50", offer, levels(`{"users":{"@bob:b":50},"invite":50}`)),
				sit("level 0, whatever state needs", offer.by(dave), levels(`{"events":{"m.room.third_party_invite":100},"state_default":100}`)),
				sit("a token like a user id", state(typeThirdPartyInvite, alice, dave, `{}`)),
			},
			refused: []situation{
				sit("0 of 1", offer.by(dave), levels(`{"invite":1}`)),
				sit("0 of a string", offer.by(dave), levels(`{"invite":"1"}`)).in("1-9"),
			},
		}, {
			name: "an event needs the level of its type", rule: required,
			allowed: []situation{
				sit("50 of absent state_default", topic),
				sit("0 of absent events_default", text),
				sit("state_default 0", topic.by(dave), levels(`{"state_default":0}`)),
				sit("the level of the type before the default", topic.by(dave), levels(`{"events":{"m.room.topic":0},"state_default":100}`)),
				sit("strings", topic, levels(`{"users":{"@bob:b":"50"},"state_default":"50"}`)).in("1-9"),
				sit("a fraction is cut off", topic, levels(`{"users":{"@bob:b":50.9},"state_default":5.0999E1}`)).in("1-5"),
				sit("50 of 50 without levels", state("m.room.topic", "", alice, `{}`), without(typePowerLevels, "")),
				sit("100 of users_default", topic, levels(`{"users_default":100,"state_default":100}`)),
				sit("the creator", state("m.room.topic", "", alice, `{}`), levels(`{"state_default":9007199254740991}`)).in("12"),
				sit("an additional creator", topic, levels(`{"state_default":9007199254740991}`),
					createEvent().saying(`{"additional_creators":["@bob:b"]}`)).in("12"),
				sit("creation before version 11 is what content says", topic, without(typePowerLevels, ""),
					createEvent().saying(`{"creator":"@bob:b"}`)).in("1-10"),
			},
			refused: []situation{
				sit("0 of absent state_default", topic.by(dave)),
				sit("0 of explicit users entry", topic, levels(`{"users":{"@bob:b":0},"users_default":100}`)),
				sit("0 of events_default 1", text, levels(`{"events_default":1}`)),
				sit("0 of the type's 1", text, levels(`{"events":{"m.room.message":1},"events_default":0}`)),
				sit("0 of strings", text, levels(`{"events":{"m.room.message":"1"}}`)).in("1-9"),
				sit("0 of 50 without levels", topic, without(typePowerLevels, "")),
				sit("a redaction with a level", message(typeRedaction, dave, `{}`), levels(`{"events":{"m.room.redaction":1}}`)),
				sit("aliases", state(typeAliases, "d", dave, `{}`)).in("6-12"),
				sit("a name that differs in case", topic, levels(`{"users":{"@Bob:b":100}}`)),
			},
		}, {
			name: "nobody sets the state of another user", rule: "1-5:9 6-11:8 12:9",
			allowed: []situation{
				sit("one's own", state("x", bob, bob, `{}`)), sit("of nobody", state("x", "bob", bob, `{}`)),
			},
			refused: []situation{
				sit("another's", state("x", alice, bob, `{}`)), sit("anything with an @", state("x", "@", bob, `{}`)),
			},
		}, {
			name: "everything else is allowed", rule: "1-2:12 3-5:11 6-11:10 12:11", by: required,
			allowed: []situation{
				sit("a message", text), sit("state", topic),
				sit("a redaction of anything", message(typeRedaction, dave, `{}`)).in("3-12"),
			},
			refused: []situation{sit("below the level", text, levels(`{"events_default":1}`))},
		},
	}
}

func levelFormRules() []ruleRow {
	first := without(typePowerLevels, "")
	say := func(content string) sketch { return levels(content) }
	usersMalformed := []situation{
		sit("users is null", say(`{"users":null}`), first), sit("users is an array", say(`{"users":[]}`), first),
		sit("no user id", say(`{"users":{"bob":1}}`), first), sit("no server", say(`{"users":{"@bob":1}}`), first),
		sit("a boolean", say(`{"users":{"@b:b":true}}`), first), sit("a word", say(`{"users":{"@b:b":"high"}}`), first),
		sit("an empty string", say(`{"users":{"@b:b":""}}`), first), sit("null", say(`{"users":{"@b:b":null}}`), first),
		sit("a fraction in a string", say(`{"users":{"@b:b":"1.5"}}`), first),
		sit("beyond 2^53 in a string", say(`{"users":{"@b:b":"9007199254740992"}}`), first),
		sit("beyond 2^53", say(`{"users":{"@b:b":9007199254740992}}`), first).in("1-5"),
		sit("far beyond 2^53", say(`{"users":{"@b:b":-1e300}}`), first).in("1-5"),
		sit("not a number in any format", say(`{"users":{"@b:b":1e999}}`), first).in("1-5"),
	}
	namedMalformed := []situation{
		sit("a boolean", say(`{"ban":true}`), first), sit("null", say(`{"kick":null}`), first),
		sit("a word", say(`{"users_default":"high"}`), first), sit("an object", say(`{"state_default":{}}`), first),
	}
	mapsMalformed := []situation{
		sit("events is an array", say(`{"events":[]}`), first), sit("events is null", say(`{"events":null}`), first),
		sit("a word in events", say(`{"events":{"x":"high"}}`), first), sit("a word in notifications", say(`{"notifications":{"room":"x"}}`), first),
	}
	strings9 := []situation{
		sit("a string for invite", say(`{"invite":"0"}`), first), sit("a string for redact", say(`{"redact":"50"}`), first),
		sit("a string for events_default", say(`{"events_default":"0"}`), first),
	}
	proper := []situation{
		sit("nothing", say(`{}`), first), sit("integers", say(`{"users":{"@b:b":-5},"events":{"x":0},"notifications":{"room":1},"ban":7}`), first),
		sit("the greatest", say(`{"users":{"@b:b":9007199254740991}}`), first),
		sit("strings", say(`{"users":{"@b:b":" -005 "},"events":{"x":"+7"},"ban":"50"}`), first).in("1-9"),
		sit("fractions", say(`{"users":{"@b:b":50.57},"ban":5.114698E4}`), first).in("1-5"),
		sit("a mistyped server in users", say(`{"users":{"@b:matrix org":1}}`), first),
	}
	return []ruleRow{
		{
			name: "levels are numbers and users are user ids", rule: "1-5:10.1 6-9:9.1", allowed: proper,
			refused: append(append(usersMalformed, namedMalformed...), mapsMalformed...),
		}, {
			name: "levels that are properties are integers", rule: "10-11:9.1 12:10.1", allowed: proper,
			refused: append(namedMalformed, strings9...),
		}, {
			name: "levels of events and notifications are integers", rule: "10-11:9.2 12:10.2", allowed: proper,
			refused: append(mapsMalformed, sit("a string", say(`{"events":{"x":"0"}}`), first)),
		}, {
			name: "levels of users are integers", rule: "10-11:9.3 12:10.3", allowed: proper,
			refused: append(usersMalformed, sit("a string", say(`{"users":{"@b:b":"0"}}`), first)),
		}, {
			name: "creators have no level", rule: "12:10.4",
			allowed: []situation{sit("others", say(`{"users":{"@bob:b":100}}`), first)},
			refused: []situation{
				sit("the sender of create", say(`{"users":{"@alice:a":100}}`), first),
				sit("later, too", say(`{"users":{"@alice:a":0}}`)),
				sit("an additional creator", say(`{"users":{"@carol:c":0}}`), createEvent().saying(`{"additional_creators":["@carol:c"]}`)),
			},
		}, {
			name: "the first levels are whatever their sender wants", rule: "1-5:10.2 6-9:9.2 10-11:9.4 12:10.5",
			allowed: []situation{
				sit("above all", say(`{"users":{"@bob:b":1000},"ban":1000}`), first),
				sit("below all", say(`{"state_default":-5}`), first),
			},
			refused: []situation{sit("of one who may not", levelsBy(dave, `{}`), first)},
			by:      "1-5:8 6-11:7 12:8",
		},
	}
}

// levelChangeRules are about bob, who has level 50, and room levels that he changes.
func levelChangeRules() []ruleRow {
	from := func(content string) sketch {
		return levels(`{"users":{"@bob:b":50},"events":{"m.room.power_levels":0}` + content + `}`)
	}
	to := func(content string) sketch {
		return levelsBy(bob, `{"users":{"@bob:b":50},"events":{"m.room.power_levels":0}`+content+`}`)
	}
	users := func(sender, content string) sketch {
		return levelsBy(sender, `{"users":{`+content+`},"events":{"m.room.power_levels":0}}`)
	}
	events := func(sender, content string) sketch {
		return levelsBy(sender, `{"users":{"@bob:b":50},"events":{"m.room.power_levels":0`+content+`}}`)
	}
	note := func(sender, content string) sketch {
		return levelsBy(sender, `{"users":{"@bob:b":50},"events":{"m.room.power_levels":0},"notifications":{`+content+`}}`)
	}
	same := sit("nothing changes", to(`,"ban":100`), from(`,"ban":100`))
	sameString := sit("a string becomes a number", to(`,"ban":100`), from(`,"ban":"100"`)).in("1-9")
	return []ruleRow{
		{
			name: "nobody changes a level above his own", rule: "1-5:10.3.1 6-9:9.3.1 10-11:9.5.1 12:10.6.1",
			allowed: []situation{
				same, sameString, sit("of his own level", to(`,"ban":0`), from(`,"ban":50`)),
				sit("removes one of his own level", to(``), from(`,"kick":50`)), sit("0 becomes absent", to(``), from(`,"invite":0`)),
			},
			refused: []situation{
				sit("lowers ban", to(`,"ban":50`), from(`,"ban":51`)), sit("removes kick", to(``), from(`,"kick":51`)),
				sit("lowers redact to 0", to(`,"redact":0`), from(`,"redact":100`)),
				sit("lowers invite", to(`,"invite":0`), from(`,"invite":51`)),
				sit("lowers events_default", to(`,"events_default":0`), from(`,"events_default":51,"users_default":51`)),
				sit("lowers state_default", to(`,"state_default":50`), from(`,"state_default":100`)),
				sit("lowers users_default", to(`,"users_default":0`), from(`,"users_default":51`)),
				sit("a string", to(`,"ban":"50"`), from(`,"ban":"51"`)).in("1-9"),
			},
		}, {
			name: "nobody sets a level above his own", rule: "1-5:10.3.2 6-9:9.3.2 10-11:9.5.2 12:10.6.2",
			allowed: []situation{
				same, sit("to his own", to(`,"ban":50`), from(`,"ban":0`)), sit("adds his own", to(`,"kick":50`), from(``)),
				sit("adds 0 below the default", to(`,"ban":0`), from(``)),
				sit("the creator", levels(`{"ban":9007199254740991}`), from(``)).in("12"),
			},
			refused: []situation{
				sit("raises ban", to(`,"ban":51`), from(`,"ban":50`)), sit("adds kick", to(`,"kick":51`), from(``)),
				sit("adds users_default", to(`,"users_default":51`), from(``)), sit("a string", to(`,"invite":"51"`), from(``)).in("1-9"),
			},
		}, {
			name: "nobody changes an entry above his own level", rule: "1-5:10.4.1 6-9:9.4.1 10-11:9.6.1 12:10.7.1",
			allowed: []situation{
				sit("removes 50", events(bob, ``), events(alice, `,"x":50`)), sit("keeps 100", events(bob, `,"x":100`), events(alice, `,"x":100`)),
				sit("removes a notification of 50", note(bob, ``), note(alice, `"room":50`)),
				sit("notifications are free before version 6", note(bob, ``), note(alice, `"room":100`)).in("1-5"),
			},
			refused: []situation{
				sit("removes 51", events(bob, ``), events(alice, `,"x":51`)), sit("changes 51 to 0", events(bob, `,"x":0`), events(alice, `,"x":51`)),
				sit("removes a notification of 51", note(bob, ``), note(alice, `"room":51`)).in("6-12"),
				sit("changes a notification of 51", note(bob, `"room":0`), note(alice, `"room":51`)).in("6-12"),
			},
		}, {
			name: "nobody sets an entry above his own level", rule: "1-5:10.5.1 6-9:9.5.1 10-11:9.7.1 12:10.8.1",
			allowed: []situation{
				sit("adds 50", events(bob, `,"x":50`), events(alice, ``)), sit("adds 0", events(bob, `,"x":0`), events(alice, ``)),
				sit("adds a notification of 50", note(bob, `"room":50`), note(alice, ``)),
				sit("notifications are free before version 6", note(bob, `"room":100`), note(alice, ``)).in("1-5"),
			},
			refused: []situation{
				sit("adds 51", events(bob, `,"x":51`), events(alice, ``)), sit("raises 50 to 51", events(bob, `,"x":51`), events(alice, `,"x":50`)),
				sit("adds a notification of 51", note(bob, `"room":51`), note(alice, ``)).in("6-12"),
				sit("a string", events(bob, `,"x":"51"`), events(alice, ``)).in("1-9"),
			},
		}, {
			name: "nobody changes the level of an equal or a higher user", rule: "1-5:10.6.1 6-9:9.6.1 10-11:9.8.1 12:10.9.1",
			allowed: []situation{
				sit("a lower user", users(bob, `"@bob:b":50,"@dave:d":0`), users(alice, `"@bob:b":50,"@dave:d":49`)),
				sit("oneself", users(bob, `"@bob:b":0`), users(alice, `"@bob:b":50`)),
				sit("removes oneself", users(bob, ``), users(alice, `"@bob:b":50`)),
				sit("adds one who has the default", users(bob, `"@bob:b":50,"@dave:d":50`), levels(`{"users":{"@bob:b":50},"events":{"m.room.power_levels":0}}`)),
				sit("the creator", levels(`{}`), users(alice, `"@bob:b":9007199254740991`)).in("12"),
			},
			refused: []situation{
				sit("an equal", users(bob, `"@bob:b":50,"@dave:d":0`), users(alice, `"@bob:b":50,"@dave:d":50`)),
				sit("removes an equal", users(bob, `"@bob:b":50`), users(alice, `"@bob:b":50,"@dave:d":50`)),
				sit("a higher user", users(bob, `"@bob:b":50,"@dave:d":50`), users(alice, `"@bob:b":50,"@dave:d":51`)),
			},
		}, {
			name: "nobody gives a level above his own", rule: "1-5:10.7.1 6-9:9.7.1 10-11:9.9.1 12:10.10.1",
			allowed: []situation{
				sit("his own", users(bob, `"@bob:b":50,"@dave:d":50`), users(alice, `"@bob:b":50`)),
				sit("0", users(bob, `"@bob:b":50,"@dave:d":0`), users(alice, `"@bob:b":50`)),
			},
			refused: []situation{
				sit("51", users(bob, `"@bob:b":50,"@dave:d":51`), users(alice, `"@bob:b":50`)),
				sit("51 to oneself", users(bob, `"@bob:b":51`), users(alice, `"@bob:b":50`)),
				sit("raises to 51", users(bob, `"@bob:b":50,"@dave:d":51`), users(alice, `"@bob:b":50,"@dave:d":49`)),
				sit("a string", users(bob, `"@bob:b":50,"@dave:d":"51"`), users(alice, `"@bob:b":50`)).in("1-9"),
			},
		}, {
			name: "any other change of levels is allowed", rule: "1-5:10.8 6-9:9.8 10-11:9.10 12:10.11",
			allowed: []situation{same, sit("within his level", to(`,"ban":50,"kick":1,"users_default":2`), from(`,"redact":3`))},
			refused: []situation{sit("of one who may not", levelsBy(dave, `{}`))},
			by:      "1-5:8 6-11:7 12:8",
		},
	}
}

func redactionRules() []ruleRow {
	redact := func(sender string, target EventID) sketch {
		k := message(typeRedaction, sender, `{}`)
		k.redacts, k.id = target, "$redaction:d"
		return k
	}
	return []ruleRow{
		{
			name: "who has the level for redacting redacts", rule: "1-2:11.1", by: "1-2:11.3",
			allowed: []situation{
				sit("50 of absent", redact(bob, "$x:other")),
				sit("0 of 0", redact(dave, "$x:other"), levels(`{"redact":0}`)),
				sit("50 of a string", redact(bob, "$x:other"), levels(`{"users":{"@bob:b":50},"redact":"50"}`)),
			},
			refused: []situation{
				sit("0 of absent", redact(dave, "$x:other")), sit("0 of a string", redact(dave, "$x:other"), levels(`{"redact":"1"}`)),
			},
		}, {
			name: "everybody redacts events of the own server", rule: "1-2:11.2", by: "1-2:11.3",
			allowed: []situation{sit("the same server", redact(dave, "$x:d"))},
			refused: []situation{sit("another", redact(dave, "$x:dd")), sit("no server", redact(dave, "$x"))},
		}, {
			name: "nobody else redacts", rule: "1-2:11.3",
			allowed: []situation{sit("who may", redact(bob, "$x:other"))},
			refused: []situation{sit("no target", redact(dave, "")), sit("another server", redact(dave, "$x:other"))},
		},
	}
}
