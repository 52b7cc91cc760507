package silent

const declared = true
