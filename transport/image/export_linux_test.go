package image

// SequentialWith is sequentialWith.
var SequentialWith = sequentialWith
