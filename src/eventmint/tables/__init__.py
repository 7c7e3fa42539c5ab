"""Tables: Iceberg, the only room that knows PyIceberg."""
