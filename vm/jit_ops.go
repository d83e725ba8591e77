//go:build linux && (amd64 || arm64) && !nojit

package vm

// An irKind groups the operations that a compiler treats alike.
type irKind uint8

const (
	kindTrap irKind = iota
	kindFall
	kindMov
	kindALU // code: ALUAdd, ALUSub, ALUOr, ALUAnd or ALUXor
	kindMul
	kindDiv   // code: ALUDiv or ALUMod
	kindShift // code: ALULsh, ALURsh or ALUArsh
	kindNeg
	kindMovSX
	kindZext
	kindSwap
	kindLoad
	kindStore
	kindAtomic // code: an Atomic constant without AtomicFetch but for AtomicXchg and AtomicCmpXchg
	kindJump
	kindBranch // code: a Jmp constant
	kindCall
	kindExit
	kindHost
	kindStoreHost
	kindLoadField
	kindStoreField
	kindLoadHandle
)

// irOp describes an operation.
type irOp struct {
	kind   irKind
	code   uint8
	size   uint8 // bytes in memory, or of the value extended or swapped
	wide   bool  // 64-bit
	imm    bool  // the second operand is Imm
	signed bool  // division, load
	raw    bool  // no check
	dst    bool  // reads the register Dst
	src    bool  // reads the register Src
	writes bool  // writes the register Dst
	jump   bool  // may continue at Target
}

var irOps = [numIROps]irOp{
	IRTrap:           {kind: kindTrap},
	IRFall:           {kind: kindFall},
	IRMov64I:         {kind: kindMov, wide: true, imm: true, writes: true},
	IRMov64:          {kind: kindMov, wide: true, src: true, writes: true},
	IRAdd64I:         {kind: kindALU, wide: true, code: ALUAdd, imm: true, dst: true, writes: true},
	IRAdd64:          {kind: kindALU, wide: true, code: ALUAdd, dst: true, src: true, writes: true},
	IRSub64I:         {kind: kindALU, wide: true, code: ALUSub, imm: true, dst: true, writes: true},
	IRSub64:          {kind: kindALU, wide: true, code: ALUSub, dst: true, src: true, writes: true},
	IRMul64I:         {kind: kindMul, wide: true, imm: true, dst: true, writes: true},
	IRMul64:          {kind: kindMul, wide: true, dst: true, src: true, writes: true},
	IRDiv64I:         {kind: kindDiv, wide: true, code: ALUDiv, imm: true, dst: true, writes: true},
	IRDiv64:          {kind: kindDiv, wide: true, code: ALUDiv, dst: true, src: true, writes: true},
	IRSDiv64I:        {kind: kindDiv, wide: true, code: ALUDiv, imm: true, signed: true, dst: true, writes: true},
	IRSDiv64:         {kind: kindDiv, wide: true, code: ALUDiv, signed: true, dst: true, src: true, writes: true},
	IRMod64I:         {kind: kindDiv, wide: true, code: ALUMod, imm: true, dst: true, writes: true},
	IRMod64:          {kind: kindDiv, wide: true, code: ALUMod, dst: true, src: true, writes: true},
	IRSMod64I:        {kind: kindDiv, wide: true, code: ALUMod, imm: true, signed: true, dst: true, writes: true},
	IRSMod64:         {kind: kindDiv, wide: true, code: ALUMod, signed: true, dst: true, src: true, writes: true},
	IROr64I:          {kind: kindALU, wide: true, code: ALUOr, imm: true, dst: true, writes: true},
	IROr64:           {kind: kindALU, wide: true, code: ALUOr, dst: true, src: true, writes: true},
	IRAnd64I:         {kind: kindALU, wide: true, code: ALUAnd, imm: true, dst: true, writes: true},
	IRAnd64:          {kind: kindALU, wide: true, code: ALUAnd, dst: true, src: true, writes: true},
	IRXor64I:         {kind: kindALU, wide: true, code: ALUXor, imm: true, dst: true, writes: true},
	IRXor64:          {kind: kindALU, wide: true, code: ALUXor, dst: true, src: true, writes: true},
	IRLsh64I:         {kind: kindShift, wide: true, code: ALULsh, imm: true, dst: true, writes: true},
	IRLsh64:          {kind: kindShift, wide: true, code: ALULsh, dst: true, src: true, writes: true},
	IRRsh64I:         {kind: kindShift, wide: true, code: ALURsh, imm: true, dst: true, writes: true},
	IRRsh64:          {kind: kindShift, wide: true, code: ALURsh, dst: true, src: true, writes: true},
	IRArsh64I:        {kind: kindShift, wide: true, code: ALUArsh, imm: true, dst: true, writes: true},
	IRArsh64:         {kind: kindShift, wide: true, code: ALUArsh, dst: true, src: true, writes: true},
	IRNeg64:          {kind: kindNeg, wide: true, dst: true, writes: true},
	IRMov32I:         {kind: kindMov, imm: true, writes: true},
	IRMov32:          {kind: kindMov, src: true, writes: true},
	IRAdd32I:         {kind: kindALU, code: ALUAdd, imm: true, dst: true, writes: true},
	IRAdd32:          {kind: kindALU, code: ALUAdd, dst: true, src: true, writes: true},
	IRSub32I:         {kind: kindALU, code: ALUSub, imm: true, dst: true, writes: true},
	IRSub32:          {kind: kindALU, code: ALUSub, dst: true, src: true, writes: true},
	IRMul32I:         {kind: kindMul, imm: true, dst: true, writes: true},
	IRMul32:          {kind: kindMul, dst: true, src: true, writes: true},
	IRDiv32I:         {kind: kindDiv, code: ALUDiv, imm: true, dst: true, writes: true},
	IRDiv32:          {kind: kindDiv, code: ALUDiv, dst: true, src: true, writes: true},
	IRSDiv32I:        {kind: kindDiv, code: ALUDiv, imm: true, signed: true, dst: true, writes: true},
	IRSDiv32:         {kind: kindDiv, code: ALUDiv, signed: true, dst: true, src: true, writes: true},
	IRMod32I:         {kind: kindDiv, code: ALUMod, imm: true, dst: true, writes: true},
	IRMod32:          {kind: kindDiv, code: ALUMod, dst: true, src: true, writes: true},
	IRSMod32I:        {kind: kindDiv, code: ALUMod, imm: true, signed: true, dst: true, writes: true},
	IRSMod32:         {kind: kindDiv, code: ALUMod, signed: true, dst: true, src: true, writes: true},
	IROr32I:          {kind: kindALU, code: ALUOr, imm: true, dst: true, writes: true},
	IROr32:           {kind: kindALU, code: ALUOr, dst: true, src: true, writes: true},
	IRAnd32I:         {kind: kindALU, code: ALUAnd, imm: true, dst: true, writes: true},
	IRAnd32:          {kind: kindALU, code: ALUAnd, dst: true, src: true, writes: true},
	IRXor32I:         {kind: kindALU, code: ALUXor, imm: true, dst: true, writes: true},
	IRXor32:          {kind: kindALU, code: ALUXor, dst: true, src: true, writes: true},
	IRLsh32I:         {kind: kindShift, code: ALULsh, imm: true, dst: true, writes: true},
	IRLsh32:          {kind: kindShift, code: ALULsh, dst: true, src: true, writes: true},
	IRRsh32I:         {kind: kindShift, code: ALURsh, imm: true, dst: true, writes: true},
	IRRsh32:          {kind: kindShift, code: ALURsh, dst: true, src: true, writes: true},
	IRArsh32I:        {kind: kindShift, code: ALUArsh, imm: true, dst: true, writes: true},
	IRArsh32:         {kind: kindShift, code: ALUArsh, dst: true, src: true, writes: true},
	IRNeg32:          {kind: kindNeg, dst: true, writes: true},
	IRMovSX8to64:     {kind: kindMovSX, size: 1, wide: true, src: true, writes: true},
	IRMovSX16to64:    {kind: kindMovSX, size: 2, wide: true, src: true, writes: true},
	IRMovSX32to64:    {kind: kindMovSX, size: 4, wide: true, src: true, writes: true},
	IRMovSX8to32:     {kind: kindMovSX, size: 1, src: true, writes: true},
	IRMovSX16to32:    {kind: kindMovSX, size: 2, src: true, writes: true},
	IRZext16:         {kind: kindZext, size: 2, dst: true, writes: true},
	IRZext32:         {kind: kindZext, size: 4, dst: true, writes: true},
	IRSwap16:         {kind: kindSwap, size: 2, dst: true, writes: true},
	IRSwap32:         {kind: kindSwap, size: 4, dst: true, writes: true},
	IRSwap64:         {kind: kindSwap, size: 8, dst: true, writes: true},
	IRLoad8:          {kind: kindLoad, size: 1, src: true, writes: true},
	IRLoad16:         {kind: kindLoad, size: 2, src: true, writes: true},
	IRLoad32:         {kind: kindLoad, size: 4, src: true, writes: true},
	IRLoad64:         {kind: kindLoad, size: 8, src: true, writes: true},
	IRLoadS8:         {kind: kindLoad, size: 1, signed: true, src: true, writes: true},
	IRLoadS16:        {kind: kindLoad, size: 2, signed: true, src: true, writes: true},
	IRLoadS32:        {kind: kindLoad, size: 4, signed: true, src: true, writes: true},
	IRRawLoad8:       {kind: kindLoad, size: 1, raw: true, src: true, writes: true},
	IRRawLoad16:      {kind: kindLoad, size: 2, raw: true, src: true, writes: true},
	IRRawLoad32:      {kind: kindLoad, size: 4, raw: true, src: true, writes: true},
	IRRawLoad64:      {kind: kindLoad, size: 8, raw: true, src: true, writes: true},
	IRRawLoadS8:      {kind: kindLoad, size: 1, signed: true, raw: true, src: true, writes: true},
	IRRawLoadS16:     {kind: kindLoad, size: 2, signed: true, raw: true, src: true, writes: true},
	IRRawLoadS32:     {kind: kindLoad, size: 4, signed: true, raw: true, src: true, writes: true},
	IRStore8:         {kind: kindStore, size: 1, dst: true, src: true},
	IRStore16:        {kind: kindStore, size: 2, dst: true, src: true},
	IRStore32:        {kind: kindStore, size: 4, dst: true, src: true},
	IRStore64:        {kind: kindStore, size: 8, dst: true, src: true},
	IRStore8I:        {kind: kindStore, size: 1, imm: true, dst: true},
	IRStore16I:       {kind: kindStore, size: 2, imm: true, dst: true},
	IRStore32I:       {kind: kindStore, size: 4, imm: true, dst: true},
	IRStore64I:       {kind: kindStore, size: 8, imm: true, dst: true},
	IRRawStore8:      {kind: kindStore, size: 1, raw: true, dst: true, src: true},
	IRRawStore16:     {kind: kindStore, size: 2, raw: true, dst: true, src: true},
	IRRawStore32:     {kind: kindStore, size: 4, raw: true, dst: true, src: true},
	IRRawStore64:     {kind: kindStore, size: 8, raw: true, dst: true, src: true},
	IRRawStore8I:     {kind: kindStore, size: 1, raw: true, imm: true, dst: true},
	IRRawStore16I:    {kind: kindStore, size: 2, raw: true, imm: true, dst: true},
	IRRawStore32I:    {kind: kindStore, size: 4, raw: true, imm: true, dst: true},
	IRRawStore64I:    {kind: kindStore, size: 8, raw: true, imm: true, dst: true},
	IRAtomicAdd:      {kind: kindAtomic, code: AtomicAdd, dst: true, src: true},
	IRAtomicOr:       {kind: kindAtomic, code: AtomicOr, dst: true, src: true},
	IRAtomicAnd:      {kind: kindAtomic, code: AtomicAnd, dst: true, src: true},
	IRAtomicXor:      {kind: kindAtomic, code: AtomicXor, dst: true, src: true},
	IRAtomicXchg:     {kind: kindAtomic, code: AtomicXchg, dst: true, src: true},
	IRAtomicCmpXchg:  {kind: kindAtomic, code: AtomicCmpXchg, dst: true, src: true},
	IRJump:           {kind: kindJump, jump: true},
	IRJeq64I:         {kind: kindBranch, code: JmpEQ, wide: true, imm: true, dst: true, jump: true},
	IRJeq64:          {kind: kindBranch, code: JmpEQ, wide: true, dst: true, src: true, jump: true},
	IRJne64I:         {kind: kindBranch, code: JmpNE, wide: true, imm: true, dst: true, jump: true},
	IRJne64:          {kind: kindBranch, code: JmpNE, wide: true, dst: true, src: true, jump: true},
	IRJgt64I:         {kind: kindBranch, code: JmpGT, wide: true, imm: true, dst: true, jump: true},
	IRJgt64:          {kind: kindBranch, code: JmpGT, wide: true, dst: true, src: true, jump: true},
	IRJge64I:         {kind: kindBranch, code: JmpGE, wide: true, imm: true, dst: true, jump: true},
	IRJge64:          {kind: kindBranch, code: JmpGE, wide: true, dst: true, src: true, jump: true},
	IRJlt64I:         {kind: kindBranch, code: JmpLT, wide: true, imm: true, dst: true, jump: true},
	IRJlt64:          {kind: kindBranch, code: JmpLT, wide: true, dst: true, src: true, jump: true},
	IRJle64I:         {kind: kindBranch, code: JmpLE, wide: true, imm: true, dst: true, jump: true},
	IRJle64:          {kind: kindBranch, code: JmpLE, wide: true, dst: true, src: true, jump: true},
	IRJset64I:        {kind: kindBranch, code: JmpSET, wide: true, imm: true, dst: true, jump: true},
	IRJset64:         {kind: kindBranch, code: JmpSET, wide: true, dst: true, src: true, jump: true},
	IRJsgt64I:        {kind: kindBranch, code: JmpSGT, wide: true, imm: true, dst: true, jump: true},
	IRJsgt64:         {kind: kindBranch, code: JmpSGT, wide: true, dst: true, src: true, jump: true},
	IRJsge64I:        {kind: kindBranch, code: JmpSGE, wide: true, imm: true, dst: true, jump: true},
	IRJsge64:         {kind: kindBranch, code: JmpSGE, wide: true, dst: true, src: true, jump: true},
	IRJslt64I:        {kind: kindBranch, code: JmpSLT, wide: true, imm: true, dst: true, jump: true},
	IRJslt64:         {kind: kindBranch, code: JmpSLT, wide: true, dst: true, src: true, jump: true},
	IRJsle64I:        {kind: kindBranch, code: JmpSLE, wide: true, imm: true, dst: true, jump: true},
	IRJsle64:         {kind: kindBranch, code: JmpSLE, wide: true, dst: true, src: true, jump: true},
	IRJeq32I:         {kind: kindBranch, code: JmpEQ, imm: true, dst: true, jump: true},
	IRJeq32:          {kind: kindBranch, code: JmpEQ, dst: true, src: true, jump: true},
	IRJne32I:         {kind: kindBranch, code: JmpNE, imm: true, dst: true, jump: true},
	IRJne32:          {kind: kindBranch, code: JmpNE, dst: true, src: true, jump: true},
	IRJgt32I:         {kind: kindBranch, code: JmpGT, imm: true, dst: true, jump: true},
	IRJgt32:          {kind: kindBranch, code: JmpGT, dst: true, src: true, jump: true},
	IRJge32I:         {kind: kindBranch, code: JmpGE, imm: true, dst: true, jump: true},
	IRJge32:          {kind: kindBranch, code: JmpGE, dst: true, src: true, jump: true},
	IRJlt32I:         {kind: kindBranch, code: JmpLT, imm: true, dst: true, jump: true},
	IRJlt32:          {kind: kindBranch, code: JmpLT, dst: true, src: true, jump: true},
	IRJle32I:         {kind: kindBranch, code: JmpLE, imm: true, dst: true, jump: true},
	IRJle32:          {kind: kindBranch, code: JmpLE, dst: true, src: true, jump: true},
	IRJset32I:        {kind: kindBranch, code: JmpSET, imm: true, dst: true, jump: true},
	IRJset32:         {kind: kindBranch, code: JmpSET, dst: true, src: true, jump: true},
	IRJsgt32I:        {kind: kindBranch, code: JmpSGT, imm: true, dst: true, jump: true},
	IRJsgt32:         {kind: kindBranch, code: JmpSGT, dst: true, src: true, jump: true},
	IRJsge32I:        {kind: kindBranch, code: JmpSGE, imm: true, dst: true, jump: true},
	IRJsge32:         {kind: kindBranch, code: JmpSGE, dst: true, src: true, jump: true},
	IRJslt32I:        {kind: kindBranch, code: JmpSLT, imm: true, dst: true, jump: true},
	IRJslt32:         {kind: kindBranch, code: JmpSLT, dst: true, src: true, jump: true},
	IRJsle32I:        {kind: kindBranch, code: JmpSLE, imm: true, dst: true, jump: true},
	IRJsle32:         {kind: kindBranch, code: JmpSLE, dst: true, src: true, jump: true},
	IRCall:           {kind: kindCall},
	IRExit:           {kind: kindExit},
	IRHost:           {kind: kindHost},
	IRStoreFieldHost: {kind: kindStoreHost, dst: true, src: true},
	IRLoadField8:     {kind: kindLoadField, size: 1, src: true, writes: true},
	IRLoadField16:    {kind: kindLoadField, size: 2, src: true, writes: true},
	IRLoadField32:    {kind: kindLoadField, size: 4, src: true, writes: true},
	IRLoadField64:    {kind: kindLoadField, size: 8, src: true, writes: true},
	IRLoadFieldS8:    {kind: kindLoadField, size: 1, signed: true, src: true, writes: true},
	IRLoadFieldS16:   {kind: kindLoadField, size: 2, signed: true, src: true, writes: true},
	IRLoadFieldS32:   {kind: kindLoadField, size: 4, signed: true, src: true, writes: true},
	IRStoreField8:    {kind: kindStoreField, size: 1, dst: true, src: true},
	IRStoreField16:   {kind: kindStoreField, size: 2, dst: true, src: true},
	IRStoreField32:   {kind: kindStoreField, size: 4, dst: true, src: true},
	IRStoreField64:   {kind: kindStoreField, size: 8, dst: true, src: true},
	IRLoadHandle:     {kind: kindLoadHandle, writes: true},
}
