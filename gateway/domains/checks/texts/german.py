"""The sentences of the checks in German. Keys: reason, reason.variant, and either with :check behind it."""

PHRASES = {
    "asked": "Wir haben am {time} {servers} nach {type} bei {name} gefragt und {answer}.",
    "and": " und ",
    "resolver": "unseren Resolver",
    "nothing": "keine brauchbare Antwort erhalten ({trouble})",
    "nxdomain": "die Antwort erhalten, dass es diesen Namen nicht gibt (NXDOMAIN)",
    "nodata": "die Antwort erhalten, dass es dort keinen solchen Eintrag gibt",
    "found": "{texts} erhalten",
}

_LATER = (
    "Darum wissen wir jetzt nichts, es ändert sich nichts, und wir sehen von selbst wieder nach. Näheres: {detail}."
)

SENTENCES = {
    "ok": "Alles ist, wie es sein soll.",
    "ok:ownership": "Der Schlüssel ist da: Die Domain ist nachgewiesen. Lassen Sie den Eintrag stehen.",
    "ok:mx": "Die Post für {domain} kommt zu diesem Gateway.",
    "ok:spf": "Dieses Gateway darf für {domain} senden.",
    "ok:dkim": "Der Schlüssel dieses Gateways ist veröffentlicht.",
    "ok:dmarc": "Die Richtlinie gilt, und ihre Berichte erreichen jemanden.",
    "ok:mta_sts": "Die Richtlinie gilt und nennt jeden Mailserver von {domain}.",
    "ok:tls_rpt": "Absender wissen, wohin sie gescheiterte Verschlüsselung melden.",
    "ok:dane": "Der Eintrag passt zum Schlüssel von {host}, und beide Zonen sind signiert.",
    "ok:ptr": "Der Name führt zu {address} zurück, und mit ihm meldet sich das Gateway.",
    "ok:host": "Der Name des Gateways hat Adressen beider Arten und darf senden.",
    "ok:srv": "Mailprogramme finden den Dienst.",
    "ok:caa": "{ca} darf ein Zertifikat für {name} ausstellen.",
    "ok:dnssec": "Die Zone ist signiert und gültig.",
    "domain_nxdomain": (
        "Die Domain {domain} selbst steht nicht im DNS. Ist sie richtig geschrieben? Ist ihre Registrierung "
        "abgelaufen, oder ist sie noch nicht registriert? Sobald es sie gibt, tragen Sie die Einträge ein."
    ),
    "misplaced_apex": (
        "Ihr Schlüssel ist da, aber bei {domain} selbst. Im Namensfeld Ihrer DNS-Verwaltung muss {label} stehen, es "
        "darf nicht leer sein und nicht @ enthalten; der Wert bleibt {record}"
    ),
    "misplaced_apex:dmarc": (
        "Der DMARC-Eintrag ist da, aber bei {domain} selbst, wo niemand nachsieht. Im Namensfeld Ihrer DNS-Verwaltung "
        "muss {label} stehen, es darf nicht leer sein und nicht @ enthalten."
    ),
    "misplaced_doubled_suffix": (
        "Ihr Schlüssel ist da, aber bei {found_at}: Ihre DNS-Verwaltung hat die Domain ein zweites Mal angehängt. "
        "Geben Sie als Namen nur {label} ein, ohne {domain} dahinter (oder {name}. mit einem Punkt ganz am Ende)."
    ),
    "misplaced_doubled_suffix:dkim": (
        "Der DKIM-Schlüssel ist da, aber bei {found_at}: Ihre DNS-Verwaltung hat die Domain ein zweites Mal "
        "angehängt. Geben Sie als Namen nur {label} ein, ohne {domain} dahinter."
    ),
    "misplaced_doubled_suffix:dmarc": (
        "Der DMARC-Eintrag ist da, aber bei {found_at}: Ihre DNS-Verwaltung hat die Domain ein zweites Mal angehängt. "
        "Geben Sie als Namen nur {label} ein, ohne {domain} dahinter."
    ),
    "misplaced_no_underscore": (
        "Ihr Schlüssel ist da, aber bei {found_at}: Der Unterstrich am Anfang fehlt. Geben Sie als Namen {label} ein, "
        "mit dem Unterstrich. Lehnt die DNS-Verwaltung ihn ab, wählen Sie dort zuerst den Typ TXT."
    ),
    "authoritative_disagree": (
        "Die Server von {domain} sind sich noch nicht einig: Manche haben die neuen Einträge, manche nicht. Das gibt "
        "sich, sobald sie die Zone übernommen haben; dauert es länger als einige Stunden, fragen Sie ihren Betreiber. "
        "Bis sie sich einig sind, ändert sich nichts."
    ),
    "resolver_disagree": (
        "Zwei Resolver sehen verschiedene Antworten für {domain}. Bis sie sich einig sind, ändert sich nichts; wir "
        "sehen von selbst wieder nach."
    ),
    "resolver_behind": (
        "Die Server von {domain} haben die neuen Einträge schon; unser Resolver merkt sich die Antwort von vorher, "
        "noch höchstens {seconds} Sekunden. Es ist nichts zu tun; wir sehen von selbst wieder nach."
    ),
    "dns_timeout": "Die Server haben nicht rechtzeitig geantwortet. " + _LATER,
    "dns_servfail": "Der Resolver hat keine Antwort bekommen (SERVFAIL). " + _LATER,
    "dns_bogus": (
        "Die Antwort hält der Prüfung mit DNSSEC nicht stand: Die Signaturen der Zone sind falsch oder abgelaufen. "
        "Ihr "
        "Betreiber muss sie neu signieren oder den DS-Eintrag bei der Registrierungsstelle löschen lassen. " + _LATER
    ),
    "dns_refused": (
        "Der Server hat die Antwort verweigert (REFUSED): Er kennt die Zone offenbar nicht. Sein Betreiber sollte "
        "nachsehen. " + _LATER
    ),
    "dns_rcode": "Der Server hat mit einem Fehler geantwortet. " + _LATER,
    "dns_unreachable": "Kein Server war zu erreichen. " + _LATER,
    "dns_malformed": "Der Server hat etwas geschickt, das keine DNS-Antwort ist. " + _LATER,
    "dns_lame": "Der Server hat nur auf andere verwiesen, obwohl er die Zone kennen sollte. " + _LATER,
    "dns_loop": (
        "Die Namen verweisen als CNAME im Kreis aufeinander. Löschen Sie einen dieser CNAME-Einträge. " + _LATER
    ),
    "dns_budget": "Diese Prüfung hätte zu viele Anfragen gebraucht und hat aufgehört. " + _LATER,
    "dns_busy": "Es waren zu viele Anfragen zugleich unterwegs. " + _LATER,
    "dns_closed": "Das Gateway wurde gerade beendet. " + _LATER,
    "not_settled": (
        "{type} von {name} ließ sich nicht abfragen. Darum wissen wir jetzt nichts, es ändert sich nichts, und wir "
        "sehen wieder nach."
    ),
    # ownership
    "token_missing": (
        "Der Schlüssel ist nicht da. Legen Sie einen Eintrag vom Typ TXT an, mit dem Namen {label} und dem Wert "
        "{record}. Bis er zu sehen ist, kann es einige Minuten dauern."
    ),
    "token_mismatch": (
        "Es gibt einen Eintrag, aber mit einem anderen Wert: {found}. Wir suchen {record} - und zwar ganz. Vielleicht "
        "ist es ein älterer Schlüssel, oder ein Stück fehlt: Ersetzen Sie ihn."
    ),
    "token_revoked": (
        "Der Eintrag enthält einen Schlüssel, der zurückgezogen wurde: {found}. Er gilt nie wieder. Ersetzen Sie ihn "
        "durch {record}"
    ),
    "token_other_account": (
        "Der Eintrag enthält einen Schlüssel, den ein anderes Konto bekommen hat: {found}. Ist die Domain Ihre, "
        "ersetzen Sie ihn durch {record}"
    ),
    "token_other_domain": (
        "Der Eintrag enthält den Schlüssel einer anderen Ihrer Domains: {found}. Jede hat ihren eigenen. Ersetzen Sie "
        "ihn durch {record}"
    ),
    "wrong_gateway": (
        "Der Eintrag nennt ein anderes Gateway: {found}. Haben Sie ihn nicht für dieses angelegt, dann hat Ihnen "
        "womöglich jemand unseren Schlüssel als seinen gegeben. Für dieses Gateway lautet der Wert {record}"
    ),
    "extra_quotes": (
        "Der Schlüssel ist da, mit Anführungszeichen, die Ihre DNS-Verwaltung für einen Teil davon hielt. Er gilt "
        "trotzdem; lassen Sie sie beim nächsten Mal weg."
    ),
    "token_by_wildcard": (
        "Der Schlüssel ist zu sehen, kommt aber von einem Platzhalter (*.{domain}). Er gilt; besser steht er unter "
        "dem Namen {label} selbst."
    ),
    "by_parent": (
        "{domain} ist durch {parent} nachgewiesen; dessen Schlüssel gilt für alle Namen darunter. Es ist nichts zu tun."
    ),
    "public_suffix": (
        "{domain} ist eine öffentliche Endung, unter der alle Welt Namen registriert: Sie gehört niemandem. Melden "
        "Sie die Domain darunter an, die Ihre ist."
    ),
    "private_suffix": (
        "{domain} ist ein Name, unter dem andere ihre eigenen Domains haben. Der Betreiber dieses Gateways muss erst "
        "zustimmen; im DNS ist nichts zu tun."
    ),
    "parent_owned_by_other": (
        "Eine Domain über {domain} gehört einem anderen Konto, mit allen Namen darunter. Ihr Inhaber oder der "
        "Betreiber muss erst zustimmen; im DNS ist nichts zu tun."
    ),
    "second_observation": (
        "Der Schlüssel ist da. Nach einer Minute sehen wir ein zweites Mal nach, dann ist die Domain nachgewiesen."
    ),
    # mx
    "mx_missing": (
        "{domain} hat keinen MX-Eintrag, darum kommt hier keine Post an. Tragen Sie ein, vom Typ MX: {wanted}"
    ),
    "mx_partial": (
        "Die Post kommt hier an, aber nicht alle unsere Mailserver sind genannt: {lacking} fehlt. Tragen Sie auch ihn "
        "ein: {wanted}"
    ),
    "foreign_backup": (
        "Die Post kommt zuerst hierher, aber auch {other} ist genannt. Was dort abgeliefert wird, geht am Gateway "
        "vorbei, und Spammer mögen solche Server. Löschen Sie ihn, sodass nur diese bleiben: {wanted}"
    ),
    "foreign_equal": (
        "Die Post für {domain} geht ebenso oft zu {other} wie zu diesem Gateway, weil beide dieselbe Zahl haben. "
        "Löschen Sie ihn, sodass nur diese bleiben: {wanted}"
    ),
    "not_primary": (
        "Die Post für {domain} geht zuerst zu {other}; das Gateway bekommt nur, was dieser Server ablehnt. Löschen "
        "Sie ihn, sodass nur diese bleiben: {wanted}"
    ),
    "mx_missing_dot": (
        "Der MX lautet {other}: Ihre DNS-Verwaltung hat {zone} angehängt, weil am Ende des Namens der Punkt fehlte. "
        "Geben Sie {typed}. mit einem Punkt am Ende ein; nimmt die Verwaltung den Punkt nicht an, wählen Sie dort "
        "einen vollständigen (absoluten) Namen."
    ),
    "mx_is_ip": (
        "Der MX lautet {other}, das ist eine Adresse; Mailserver werden mit ihrem Namen genannt. Geben Sie "
        "stattdessen einen Namen ein: {wanted}"
    ),
    "null_mx": (
        "Der MX-Eintrag ist ein einzelner Punkt und sagt, dass {domain} überhaupt keine Post annimmt (RFC 7505). "
        "Ersetzen Sie ihn durch: {wanted}"
    ),
    "null_mx_mixed": (
        "Ein MX-Eintrag ist ein einzelner Punkt und sagt, dass {domain} keine Post annimmt, andere nennen Server; "
        "Absender halten sich an das eine oder das andere. Löschen Sie den mit dem Punkt, sodass diese bleiben: "
        "{wanted}"
    ),
    "implicit_mx": (
        "{domain} hat keinen MX-Eintrag; Post kommt nur an, weil die Adresse unsere ist. Das endet, sobald die "
        "Website umzieht. Tragen Sie ein, vom Typ MX: {wanted}"
    ),
    "vanity_mx": (
        "Der MX lautet {other}, ein anderer Name für unsere Adressen. Die Post kommt an, bis sich unsere Adressen "
        "ändern. Besser: {wanted}"
    ),
    "vanity_mx_foreign_ip": (
        "Der MX lautet {other}, und nur einige seiner Adressen sind unsere: Ein Teil der Post geht anderswohin. "
        "Ersetzen Sie ihn durch: {wanted}"
    ),
    "mx_target_alias": (
        "Der MX lautet {other}, ein Verweis (CNAME) auf unseren Server. Manche Absender folgen ihm nicht (RFC 2181 "
        "10.3). Besser: {wanted}"
    ),
    "mx_target_missing": (
        "Der MX lautet {other}, und diesen Server gibt es nicht: Es kann keine Post ankommen. Ist er richtig "
        "geschrieben? Es sollte sein: {wanted}"
    ),
    "mx_elsewhere": (
        "Die Post für {domain} geht zu {other}, nicht hierher. Ersetzen Sie die MX-Einträge durch: {wanted}"
    ),
    "cname_at_domain": (
        "{domain} ist ein Verweis (CNAME) auf {alias}, und dort stehen die MX-Einträge: Wer jenen Namen betreibt, "
        "entscheidet über Ihre Post. Besser ersetzen Sie den CNAME und tragen den MX bei {domain} selbst ein: {wanted}"
    ),
    "wildcard_mx": (
        "Die MX-Einträge kommen von einem Platzhalter (*.{parent}): Auch die Post jedes vertippten Namens unter "
        "{parent} kommt hierher. Besser stehen sie bei {domain} selbst: {wanted}"
    ),
    # spf
    "spf_missing": (
        "{domain} hat keinen SPF-Eintrag. Post kommt trotzdem an, aber was Sie senden, kann für gefälscht gehalten "
        "werden. Legen Sie bei {domain} einen TXT-Eintrag an: {merged}"
    ),
    "spf_missing.spoilt": (
        "Dort steht Text, der als SPF gemeint war: {found}. Er fängt nicht mit v=spf1 an, weil ein Leerzeichen oder "
        "ein Anführungszeichen davor steht; darum hält ihn niemand für SPF. Ersetzen Sie ihn durch: {merged}"
    ),
    "spf_missing.type99": (
        "Der SPF-Eintrag hat den Typ SPF, den niemand mehr liest. Legen Sie ihn bei {domain} als TXT an: {merged}"
    ),
    "spf_multiple": (
        "{domain} hat mehr als einen SPF-Eintrag: {found}. Nur einer ist erlaubt, zwei gelten als Fehler. Löschen Sie "
        "alle und legen Sie stattdessen diesen an: {merged}"
    ),
    "spf_syntax": (
        "Der SPF-Eintrag hat einen Fehler, darum verwerfen ihn Empfänger ganz: {term} ({detail}). Ersetzen Sie ihn "
        "durch: {merged}"
    ),
    "spf_too_many_lookups": (
        "Der SPF-Eintrag löst {count} DNS-Abfragen aus, erlaubt sind 10; Empfänger verwerfen ihn. Löschen Sie ein "
        "include:, das nicht mehr gebraucht wird, oder ersetzen Sie es durch ip4: und ip6:. Mit diesem Gateway lautet "
        "er: {merged}"
    ),
    "spf_too_many_void": (
        "Der SPF-Eintrag nennt mehr als zwei Server, die es nicht gibt ({detail}); Empfänger verwerfen ihn. Löschen "
        "Sie sie. Mit diesem Gateway lautet er: {merged}"
    ),
    "spf_plus_all": (
        "Der SPF-Eintrag endet mit +all und lässt damit jeden für {domain} senden. Ersetzen Sie ihn durch: {merged}"
    ),
    "spf_gateway_not_allowed": (
        "Der SPF-Eintrag nennt dieses Gateway nicht: Post von {address} gälte als gefälscht. Ersetzen Sie ihn durch: "
        "{merged}"
    ),
    "spf_ptr": "Der SPF-Eintrag benutzt ptr; das ist langsam und wird nicht beachtet. Ersetzen Sie ihn durch: {merged}",
    "spf_no_all": (
        "Der SPF-Eintrag sagt nicht, was für alle anderen Absender gilt, darum verbietet er nichts. Ersetzen Sie ihn "
        "durch: {merged}"
    ),
    "spf_near_limit": (
        "Der SPF-Eintrag löst {count} der 10 erlaubten DNS-Abfragen aus. Noch hält er; ein Dienst mehr, und er "
        "bricht. Löschen Sie ein include:, das nicht mehr gebraucht wird."
    ),
    # dkim
    "dkim_missing": (
        "Der DKIM-Schlüssel ist nicht da. Legen Sie einen TXT-Eintrag mit dem Namen {label} an, Wert: {record}"
    ),
    "dkim_missing.cname": (
        "Der DKIM-Schlüssel ist nicht da. Legen Sie einen Eintrag vom Typ CNAME an, Name {label}, Ziel {cname}."
    ),
    "dkim_mismatch": (
        "Dort steht ein anderer Schlüssel als der, mit dem dieses Gateway unterschreibt. Ersetzen Sie den Eintrag bei "
        "{label} durch: {record}"
    ),
    "dkim_truncated": (
        "Der Schlüssel hört mittendrin auf: Ihre DNS-Verwaltung hat den Wert nach 255 Zeichen abgeschnitten. Geben "
        "Sie ihn als mehrere Stücke in Anführungszeichen hintereinander ein: {split}"
    ),
    "dkim_truncated.cname": (
        "Der Schlüssel hört mittendrin auf: Ihre DNS-Verwaltung hat den Wert nach 255 Zeichen abgeschnitten. Löschen "
        "Sie den TXT-Eintrag und nehmen Sie stattdessen einen CNAME: Name {label}, Ziel {cname}."
    ),
    "dkim_testing": (
        "Der Schlüssel ist als Versuch gekennzeichnet (t=y), darum gilt signierte Post wie unsignierte. Nehmen Sie "
        "t=y heraus: {record}"
    ),
    "dkim_hash": (
        "Der Eintrag erlaubt nur sha1 (h=sha1), und das nimmt niemand mehr an. Nehmen Sie h=sha1 heraus: {record}"
    ),
    "dkim_multiple": (
        "Bei {name} gibt es mehrere TXT-Einträge: {found}. Empfänger nehmen irgendeinen davon. Löschen Sie alle und "
        "legen Sie einen an: {record}"
    ),
    "dkim_revoked": "Der Schlüssel ist leer (p=), das heißt: zurückgezogen. Tragen Sie ein: {record}",
    "dkim_syntax": "Der Eintrag ist kein DKIM-Schlüssel ({detail}). Ersetzen Sie ihn durch: {record}",
    "dkim_syntax.escaped": (
        "Vor den Semikolons stehen Schrägstriche: Ihre DNS-Verwaltung setzt sie selbst oder will keine. Geben Sie den "
        "Wert ohne sie ein: {record}"
    ),
    # dmarc
    "dmarc_missing": (
        "{domain} hat keinen DMARC-Eintrag. Legen Sie einen TXT-Eintrag mit dem Namen {label} an, Wert: {record}"
    ),
    "dmarc_inherited": "Die Richtlinie von {parent} gilt auch für {domain}: {policy}.",
    "dmarc_multiple": (
        "Es gibt mehrere DMARC-Einträge: {found}. Empfänger verwerfen dann alle. Behalten Sie einen, löschen Sie die "
        "anderen."
    ),
    "dmarc_syntax": (
        "Der DMARC-Eintrag hat einen Fehler ({detail}), darum verwerfen ihn Empfänger: {found}. Berichtigen Sie ihn."
    ),
    "dmarc_syntax.version": (
        "Der Eintrag fängt nicht mit v=DMARC1 in genau diesen Buchstaben an, darum verwerfen ihn Empfänger: {found}. "
        "Stellen Sie es an den Anfang, etwa so: {record}"
    ),
    "dmarc_none": (
        "Die Richtlinie ist none: Berichte kommen, Fälschungen werden zugestellt. Das ist der richtige Anfang; wenn "
        "SPF und DKIM 14 Tage lang in den Berichten bestehen, gehen Sie zu p=quarantine über."
    ),
    "dmarc_test_mode": (
        "Die Richtlinie wird nur erprobt (t=y) und nicht angewandt. Nehmen Sie t=y heraus, wenn die Berichte gut sind."
    ),
    "dmarc_no_p": (
        "Im Eintrag fehlt p=. Neuere Empfänger lesen das als p=none, ältere verwerfen den Eintrag. Ergänzen Sie p=none."
    ),
    "dmarc_no_rua": (
        "Der Eintrag nennt niemanden für Berichte (rua=), darum sehen Sie nicht, was abgelehnt wird. Ergänzen Sie "
        "rua=mailto: und eine Adresse."
    ),
    "dmarc_sp_none": (
        "Namen unter {domain} sind ausgenommen (sp=none): Jeder kann sie fälschen. Nehmen Sie sp=none heraus, sobald "
        "ihre Post in Ordnung ist."
    ),
    "dmarc_removed_tag": (
        "Der Eintrag benutzt {detail}; das kennt die heutige Norm (RFC 9989) nicht mehr, und Empfänger beachten es "
        "nicht. Nehmen Sie es heraus."
    ),
    "dmarc_rua_not_authorised": (
        "Die Berichte gehen an {other}, und dort hat niemand zugestimmt. Wer {other} betreibt, muss bei {wanted} "
        "einen TXT-Eintrag mit dem Wert v=DMARC1 anlegen; oder nehmen Sie eine Adresse in {domain}."
    ),
    # mta-sts
    "sts_missing": (
        "{domain} hat kein MTA-STS. Post kommt trotzdem an, aber ein Angreifer unterwegs kann die Verschlüsselung "
        "abschalten. Es ist freiwillig."
    ),
    "sts_missing.served": (
        "Unter {url} liegt eine Richtlinie, aber der TXT-Eintrag bei {name} fehlt, darum sieht niemand nach ihr. "
        "Legen Sie ihn an: v=STSv1; id=1"
    ),
    "sts_multiple": "Bei {name} gibt es mehrere Einträge: {found}. Absender nehmen dann keinen. Behalten Sie einen.",
    "sts_syntax": (
        "Der Eintrag bei {name} hat einen Fehler ({detail}), darum beachten ihn Absender nicht. Er muss lauten wie "
        "v=STSv1; id=20260131 (nur Buchstaben und Ziffern)."
    ),
    "sts_fetch": (
        "Der Eintrag verspricht eine Richtlinie, aber unter {url} gibt es sie nicht ({detail}). Legen Sie die Datei "
        "dort ab."
    ),
    "sts_fetch_temporary": (
        "Die Richtlinie unter {url} war jetzt nicht zu holen ({detail}). Bleibt es so, muss jemand nach dem Webserver "
        "sehen; wir sehen von selbst wieder nach."
    ),
    "sts_redirect": (
        "{url} leitet anderswohin weiter ({detail}), und Absender dürfen dem nicht folgen. Die Datei muss genau unter "
        "dieser Adresse liegen."
    ),
    "sts_certificate": (
        "Das Zertifikat des Webservers für {url} ist nicht gültig ({detail}), darum nehmen Absender die Richtlinie "
        "nicht. Erneuern Sie es, für den Namen mta-sts.{domain}."
    ),
    "sts_policy_syntax": (
        "Die Richtlinie unter {url} hat einen Fehler: {detail}. Berichtigen Sie die Datei und ändern Sie danach id=."
    ),
    "sts_none": "Die Richtlinie sagt mode: none und schaltet MTA-STS damit ab.",
    "sts_testing": (
        "Die Richtlinie wird erprobt (mode: testing): Fehlschläge werden nur gemeldet. Sind die Berichte gut, "
        "schreiben Sie mode: enforce und ändern Sie id=."
    ),
    "sts_mx_mismatch": (
        "Die Richtlinie (mode {mode}, Absender merken sie sich {days} Tage) nennt {lacking} nicht: Wer sich an sie "
        "hält, liefert dort nichts ab. Ergänzen Sie eine Zeile mx: für jeden Mailserver und ändern Sie id=."
    ),
    "sts_short_max_age": (
        "Absender merken sich die Richtlinie nur {seconds} Sekunden, das schützt wenig. Schreiben Sie max_age: "
        "1209600 (14 Tage)."
    ),
    "sts_id_stale": (
        "Die Richtlinie ist anders geworden, id= im Eintrag aber nicht ({id}): Absender behalten die alte. Ändern Sie "
        "id= bei {name}."
    ),
    # tls reports
    "tlsrpt_missing": (
        "Absender wissen nicht, wohin sie gescheiterte Verschlüsselung melden. Legen Sie einen TXT-Eintrag mit dem "
        "Namen {label} an, Wert: {record}"
    ),
    "tlsrpt_multiple": "Bei {name} gibt es mehrere Einträge: {found}. Absender nehmen dann keinen. Behalten Sie einen.",
    "tlsrpt_syntax": "Der Eintrag bei {name} hat einen Fehler ({detail}): {found}. Er muss lauten wie {record}",
    # dane
    "dane_missing": (
        "{host} hat keinen TLSA-Eintrag. Er ist freiwillig; mit ihm lassen sich Absender nicht irreführen: {record}"
    ),
    "dane_insecure": (
        "Es gibt einen TLSA-Eintrag, aber seine Zone ist nicht durch DNSSEC bewiesen, darum wirkt er nicht. Signieren "
        "Sie die Zone."
    ),
    "dane_mx_insecure": (
        "Der Eintrag von {host} ist in Ordnung, aber {domain} ist nicht mit DNSSEC signiert, darum benutzen ihn "
        "Absender für diese Domain nicht. Schalten Sie DNSSEC bei der Registrierungsstelle ein."
    ),
    "dane_unusable": (
        "Der TLSA-Eintrag hat die Verwendung {usage}, die für Mail nicht gilt (RFC 7672 3.1.3). Tragen Sie ein: "
        "{record}"
    ),
    "dane_other_form": (
        "Die TLSA-Einträge haben eine Form, die diese Prüfung nicht mit unserem Schlüssel vergleichen kann. Legen Sie "
        "zusätzlich einen an, bei dem sie es kann: {record}"
    ),
    "dane_mismatch": (
        "Kein TLSA-Eintrag von {host} passt zu seinem Schlüssel: Absender mit DANE liefern nichts, bis das behoben "
        "ist. Tragen Sie sofort ein: {record}"
    ),
    "dane_servfail": (
        "Der TLSA-Eintrag von {host} ist weder zu bekommen noch ist bewiesen, dass es ihn nicht gibt (SERVFAIL): "
        "Absender mit DANE liefern nichts, bis das behoben ist. Der Betreiber der Zone muss nach ihren Signaturen "
        "sehen."
    ),
    # the rest
    "ptr_missing": (
        "{address} hat keinen umgekehrten Namen; viele Empfänger lehnen Post von dort ab. Wer Ihnen die Adresse "
        "gegeben hat (der Anbieter), muss als PTR {helo} eintragen."
    ),
    "ptr_unconfirmed": (
        "Der umgekehrte Name von {address} ist {found}, aber dieser Name führt nicht zu {address} zurück. Legen Sie "
        "dort einen A- oder AAAA-Eintrag an, oder lassen Sie den Anbieter den PTR auf {helo} setzen."
    ),
    "ptr_differs": (
        "Der umgekehrte Name von {address} ist {found}, das Gateway meldet sich mit {helo}. Die meisten Empfänger "
        "nehmen das hin; besser setzt der Anbieter den PTR auf {helo}."
    ),
    "host_missing": (
        "Das Gateway meldet sich mit {name}, und dieser Name hat keine Adresse. Legen Sie A- und AAAA-Einträge für "
        "ihn an, oder melden Sie sich mit einem anderen Namen (server.hostname)."
    ),
    "host_spf_missing": (
        "{name} hat keinen SPF-Eintrag. Unzustellbarkeitsmeldungen haben keinen anderen Absender als diesen Namen, "
        "darum misstrauen ihnen manche Empfänger. Legen Sie bei {name} einen TXT-Eintrag an: {record}"
    ),
    "host_spf_fails": (
        "Der SPF-Eintrag von {name} lässt {address} nicht senden ({detail}), darum werden Unzustellbarkeitsmeldungen "
        "abgelehnt. Ersetzen Sie ihn durch: {record}"
    ),
    "host_one_kind": ("{name} hat nur Adressen einer Art ({found}); mit IPv4 und IPv6 erreicht ihn jeder."),
    "srv_missing": (
        "Mailprogramme finden den Dienst nicht von selbst. Legen Sie einen SRV-Eintrag an, Name {label}: {record}"
    ),
    "srv_wrong": "Der SRV-Eintrag führt anderswohin: {found}. Ersetzen Sie ihn durch {record}",
    "caa_blocks": (
        "Der CAA-Eintrag bei {found_at} lässt {ca} kein Zertifikat für {name} ausstellen: {found}. Ergänzen Sie: "
        "{record}"
    ),
    "dnssec_unsigned": (
        "{domain} ist nicht mit DNSSEC signiert. Das ist freiwillig; Ihre Registrierungsstelle oder Ihr DNS-Anbieter "
        "kann es einschalten."
    ),
    "dnssec_bogus": (
        "Die Signaturen von {domain} sind falsch oder abgelaufen: Wer sie prüft, sieht die Domain gar nicht, und Post "
        "von dort kommt nicht an. Signieren Sie neu, oder lassen Sie den DS-Eintrag bei der Registrierungsstelle "
        "löschen. Näheres: {detail}."
    ),
    "dnssec_not_judged": (
        "Ob {domain} signiert ist, lässt sich hier nicht sagen: Dazu gehört ein prüfender Resolver auf dem Rechner "
        "des Gateways."
    ),
}
