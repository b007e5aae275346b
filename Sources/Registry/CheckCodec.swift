import Wire

extension CheckDefinition {
  func encode(into writer: inout Writer) {
    for text in [http, method, body, tcp, udp, grpc, h2ping, tlsServerName, shell] {
      writer.text(text)
    }
    for text in [dockerContainerID, aliasNode, aliasService] { writer.text(text) }
    writer.list(header) { writer, field in
      writer.text(field.name)
      writer.texts(field.values)
    }
    writer.flag(disableRedirects)
    writer.flag(grpcUseTLS)
    writer.flag(tlsSkipVerify)
    writer.texts(args)
    for duration in [interval, timeout, ttl, deregisterCriticalServiceAfter] {
      writer.signed(duration)
    }
    writer.int(successBeforePassing)
    writer.int(failuresBeforeCritical)
    writer.int(failuresBeforeWarning)
    writer.int(outputMaxSize)
  }

  init(from reader: inout Reader) throws(WireError) {
    http = try reader.text()
    method = try reader.text()
    body = try reader.text()
    tcp = try reader.text()
    udp = try reader.text()
    grpc = try reader.text()
    h2ping = try reader.text()
    tlsServerName = try reader.text()
    shell = try reader.text()
    dockerContainerID = try reader.text()
    aliasNode = try reader.text()
    aliasService = try reader.text()
    header = try reader.list { (reader) throws(WireError) in
      let name = try reader.text()
      return HeaderField(name: name, values: try reader.texts())
    }
    disableRedirects = try reader.flag()
    grpcUseTLS = try reader.flag()
    tlsSkipVerify = try reader.flag()
    args = try reader.texts()
    interval = try reader.signed()
    timeout = try reader.signed()
    ttl = try reader.signed()
    deregisterCriticalServiceAfter = try reader.signed()
    successBeforePassing = try reader.int()
    failuresBeforeCritical = try reader.int()
    failuresBeforeWarning = try reader.int()
    outputMaxSize = try reader.int()
  }
}

extension CheckRecord {
  func encode(into writer: inout Writer) {
    for text in [node, id, name, status, notes, output, serviceID, serviceName] {
      writer.text(text)
    }
    writer.texts(serviceTags)
    for text in [type, interval, timeout] { writer.text(text) }
    definition.encode(into: &writer)
    writer.u8(origin.rawValue)
    writer.varint(createIndex)
    writer.varint(modifyIndex)
  }

  init(from reader: inout Reader) throws(WireError) {
    let node = try reader.text()
    let id = try reader.text()
    self.init(node: node, id: id, name: try reader.text())
    status = try reader.text()
    notes = try reader.text()
    output = try reader.text()
    serviceID = try reader.text()
    serviceName = try reader.text()
    serviceTags = try reader.texts()
    type = try reader.text()
    interval = try reader.text()
    timeout = try reader.text()
    definition = try CheckDefinition(from: &reader)
    origin = try reader.origin()
    createIndex = try reader.varint()
    modifyIndex = try reader.varint()
  }
}
