"""The hand-out in German."""

WORDS = {
    "title": "DNS-Einträge für {domain}",
    "intro": (
        "{organisation} möchte die E-Mail von {domain} über {gateway} empfangen und senden. Dafür müssen die "
        "folgenden Einträge im DNS von {domain} stehen. Sie brauchen kein Konto bei uns, nur den Zugang zur "
        "DNS-Verwaltung."
    ),
    "grant": (
        "Was Sie damit erlauben: {gateway} nimmt im Auftrag von {organisation} Post für {domain} an. Wenn Sie "
        "{organisation} nicht kennen oder dies nicht erwarten, tragen Sie nichts ein."
    ),
    "grant_below": (
        "Was Sie damit erlauben: {gateway} nimmt im Auftrag von {organisation} Post für {domain} und für alle "
        "Namen darunter an. Wenn Sie {organisation} nicht kennen oder dies nicht erwarten, tragen Sie nichts ein."
    ),
    "hold": "Auch bei {gateway} muss jemand dieser Domain zustimmen; bis dahin geschieht nichts.",
    "done": "Am {at} war alles Nötige an seinem Platz. Es ist nichts mehr zu tun; lassen Sie die Einträge stehen.",
    "better": (
        "Am {at} waren die nötigen Prüfungen bestanden. Was als einzutragen gekennzeichnet ist und was weg muss, macht "
        "es vollständig."
    ),
    "missing": "Was noch fehlt",
    "missing_how": "Das war am {at} noch nicht in Ordnung:",
    "enter": "Was einzutragen ist",
    "enter_how": (
        "Jede Zeile ist ein Eintrag. Die Namen gelten in der Zone {zone}: Die meisten DNS-Verwaltungen hängen {zone} "
        "selbst an, geben Sie es also nicht ein. @ steht für {zone} selbst; manche Verwaltungen wollen das Feld dann "
        "leer. Rechnernamen stehen hier ohne den Punkt am Ende, wie Verwaltungen sie wollen; in einer Zonendatei "
        "gehört er dazu."
    ),
    "enter_click": "Ein Klick markiert einen ganzen Wert.",
    "zone_guessed": "Das DNS hat nicht gesagt, in welcher Zone {domain} steht; {zone} ist angenommen.",
    "name": "Name",
    "type": "Typ",
    "priority": "Priorität",
    "value": "Wert",
    "ttl": "TTL",
    "why": "Wozu",
    "required": "nötig",
    "advised": "empfohlen",
    "there": "vorhanden",
    "to_enter": "einzutragen",
    "why_ownership": "Zeigt, dass {domain} Ihnen gehört. Lassen Sie ihn stehen: So bleibt die Domain Ihre.",
    "why_mx": "Führt die Post von {domain} zu {gateway}.",
    "why_spf": (
        "Sagt, dass das Gateway für {domain} senden darf; was Ihr Eintrag schon erlaubt, bleibt erlaubt. Es darf "
        "nur einen Eintrag geben, der mit v=spf1 beginnt."
    ),
    "why_dmarc": "Bittet Empfänger um Berichte und ändert sonst noch nichts.",
    "why_srv": "Lässt Mailprogramme den Server von selbst finden.",
    "remove": "Was weg muss",
    "remove_how": (
        "Diese Einträge stehen jetzt im DNS. Entfernen Sie sie, wenn Sie die neuen eintragen, und keine anderen."
    ),
    "gone_mx": (
        "Mit ihm geht Post am Gateway vorbei. Führt er noch dorthin, wo Sie Ihre Post lesen, fragen Sie zuerst."
    ),
    "gone_spf": "Der neue Eintrag tritt an seine Stelle; von zweien gilt keiner.",
    "seen": "Was sonst zu sehen war",
    "seen_how": "Geschrieben am {at}. Seitdem kann es sich geändert haben.",
    "check_ownership": "Schlüssel",
    "check_mx": "MX",
    "check_spf": "SPF",
    "check_dmarc": "DMARC",
    "check_srv": "Dienste",
    "status_pass": "in Ordnung",
    "status_warn": "geht, könnte besser sein",
    "status_fail": "fehlt oder ist falsch",
    "status_temp": "nicht bekannt",
    "see": "Selbst nachsehen",
    "see_how": (
        "Diese Befehle fragen das DNS, ohne ein Konto. Darunter steht jeweils, was sie ausgeben, sobald der "
        "Eintrag da ist; auf die Reihenfolge der Zeilen kommt es nicht an, auch nicht darauf, in wie viele Stücke "
        "in Anführungszeichen ein langer Text geteilt ist."
    ),
    "expected": "Erwartete Antwort:",
    "lasts": (
        "{name} {type}: Wer am {asked} gefragt hat, sieht die alte Antwort vielleicht bis {until} (TTL {ttl} s). "
        "Das ist kein Fehler von Ihnen; die Server der Zone kennen die neue sofort."
    ),
    "then": (
        "Danach sind Sie fertig: Das Gateway sieht von selbst nach, spätestens nach sechs Stunden, und wer Ihnen dies "
        "geschickt hat, kann es gleich nachsehen lassen. Ohne DNSSEC will es den Schlüssel zweimal sehen, im Abstand "
        "einer Minute."
    ),
    "kept": "Die Werte müssen genau so bleiben, wie sie sind. Keiner davon ist geheim.",
}
